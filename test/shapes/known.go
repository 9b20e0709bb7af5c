package main

import "regexp"

// known are the shapes that are not exact yet. A shape leaves the list as soon
// as it is exact.
var known = regexp.MustCompile(`^(archive|cut|restore|power|overwritten|link|folder|logger|python|node|header|inode|machine|hostile|scale)/|^(rotate/olddir-far|logrotate/copy-compress|logrotate/shred)/`)

func isKnown(name string) bool { return known.MatchString(name) }
