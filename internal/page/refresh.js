// The page is replaced from time to time. What somebody opened stays open.
const main = document.getElementById("page");
setInterval(async () => {
	let text;
	try {
		const answer = await fetch(location.href);
		if (!answer.ok) return;
		text = await answer.text();
	} catch {
		return; // the server has ended: the last page stays
	}
	const page = document.getElementById("page");
	const open = new Set([...page.querySelectorAll("details[open]")].map(d => d.dataset.key));
	const focused = document.activeElement && document.activeElement.dataset.focus;
	const content = text.slice(text.indexOf("<main"), text.indexOf("</main>")); // the style has another nonce
	const next = new DOMParser().parseFromString(content, "text/html").getElementById("page");
	for (const d of next.querySelectorAll("details")) d.open = open.has(d.dataset.key);
	page.replaceWith(next);
	if (focused) next.querySelector(`[data-focus="${CSS.escape(focused)}"]`)?.focus();
}, main.dataset.seconds * 1000);
