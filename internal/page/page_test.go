package page

import (
	"math"
	"testing"
)

func TestPlotFitsItsArea(t *testing.T) {
	p := NewPlot("units", []Bucket{{"10:00", "10:00", 5}, {"10:01", "", 0}, {"10:02", "", math.MaxInt64}})
	if p.Peak != math.MaxInt64 || len(p.Bars) != 2 || len(p.Marks) != 1 {
		t.Fatalf("%+v", p)
	}
	for _, b := range p.Bars {
		if b.X < left || b.X+b.Width > left+width || b.Y < bottom-depth || b.Y+b.Height != bottom {
			t.Errorf("a bar is outside: %+v", b)
		}
	}
	if full := p.Bars[1]; full.Height != depth {
		t.Errorf("the highest bar is %+v", full)
	}
	if empty := NewPlot("nothing", nil); empty.Peak != 0 || empty.Bars != nil {
		t.Errorf("%+v", empty)
	}
}

func TestLastLabelIsNotCutOff(t *testing.T) {
	buckets := make([]Bucket, 60)
	buckets[0].Mark, buckets[59].Mark = "10:00", "10:59"
	marks := NewPlot("units", buckets).Marks
	if first, last := marks[0].Anchor(), marks[1].Anchor(); first != "middle" || last != "end" {
		t.Errorf("the labels are fastened at their %s and %s", first, last)
	}
}
