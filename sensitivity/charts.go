package sensitivity

import (
	"fmt"
	"html/template"
	"math"
	"slices"
	"strings"

	"github.com/ssmc/ssmc/quant"
)

// svg writes one picture. Colours are classes, so that the page decides.
type svg struct {
	strings.Builder
	w, h float64
}

func newSVG(w, h float64, label string) *svg {
	s := &svg{w: w, h: h}
	fmt.Fprintf(s, `<svg viewBox="0 0 %g %g" width="%g" height="%g" role="img" aria-label="%s">`, w, h, w, h, template.HTMLEscapeString(label))
	return s
}

func (s *svg) rect(class string, x, y, w, h float64, title string) {
	fmt.Fprintf(s, `<rect class="%s" x="%.2f" y="%.2f" width="%.2f" height="%.2f"><title>%s</title></rect>`, class, x, y, max(w, 0), max(h, 0), template.HTMLEscapeString(title))
}

func (s *svg) line(class string, x1, y1, x2, y2 float64) {
	fmt.Fprintf(s, `<line class="%s" x1="%.2f" y1="%.2f" x2="%.2f" y2="%.2f"/>`, class, x1, y1, x2, y2)
}

func (s *svg) text(class string, x, y float64, format string, args ...any) {
	fmt.Fprintf(s, `<text class="%s" x="%.2f" y="%.2f">%s</text>`, class, x, y, template.HTMLEscapeString(fmt.Sprintf(format, args...)))
}

func (s *svg) end() template.HTML {
	s.WriteString(`</svg>`)
	return template.HTML(s.String()) // all text in it was escaped
}

// bar is one bar of a chart.
type bar struct {
	name  string
	value float64
	label string
}

// bars draws horizontal bars from zero.
func bars(label string, list []bar) template.HTML {
	const row, left, right, width = 20.0, 120.0, 110.0, 420.0
	s := newSVG(left+width+right, row*float64(len(list))+6, label)
	most := 0.0
	for _, b := range list {
		most = max(most, b.value)
	}
	for i, b := range list {
		y := float64(i)*row + 3
		w := 0.0
		if most > 0 {
			w = b.value / most * width
		}
		s.text("name", left-8, y+14, "%s", b.name)
		s.rect("bar", left, y+2, w, row-5, b.name+": "+b.label)
		s.text("value", left+w+6, y+14, "%s", b.label)
	}
	return s.end()
}

// histogramBins is how many columns a histogram has over its decades.
const (
	histogramLow  = -4.0 // decades of |x| that are shown, below the largest
	histogramBins = 80
)

// histogram draws the distribution of |x| on a logarithmic axis, with the largest value that has a code marked, and the smallest.
func histogram(h *quant.Histogram, scale float64, name string) template.HTML {
	const width, height, foot = 205.0, 78.0, 16.0
	top := math.Log10(max(h.Max(), 1e-30)) + 0.1
	x := func(v float64) float64 {
		return (math.Log10(max(v, 1e-30)) - top - histogramLow) / -histogramLow * width
	}
	var counts [histogramBins]float64
	below := 0.0
	for _, b := range h.Bins() {
		at := int(x((b.Low()+b.High())/2) / width * histogramBins)
		if at < 0 {
			below += float64(b.Count)
			continue
		}
		counts[min(at, histogramBins-1)] += float64(b.Count)
	}
	most := slices.Max(counts[:])
	s := newSVG(width, height+foot, "distribution of |x| of "+name)
	for i, c := range counts {
		if c > 0 { // logarithmic too: the rare large values are what decides
			hgt := height * max(0.02, 1+math.Log10(c/most)/8)
			s.rect("bar", float64(i)*width/histogramBins, height-hgt, width/histogramBins-0.4, hgt, fmt.Sprintf("%.3g of %d values", c, h.Count()))
		}
	}
	for d := math.Ceil(top + histogramLow); d <= top; d++ {
		s.line("axis", x(math.Pow(10, d)), height, x(math.Pow(10, d)), height+4)
		if at := x(math.Pow(10, d)); at > 12 && at < width-12 {
			s.text("tick", at, height+foot-1, "1e%g", d)
		}
	}
	s.line("axis", 0, height, width, height)
	if scale > 0 {
		s.line("limit", x(scale*quant.MaxCode), 0, x(scale*quant.MaxCode), height)
		s.line("step", x(scale/2), 0, x(scale/2), height)
	}
	if below >= 0.01*float64(h.Count()) {
		s.text("note", 2, 10, "%.0f %% smaller", 100*below/float64(h.Count()))
	}
	return s.end()
}

// channels draws the largest |x| of each channel, sorted, before and after rotation, each as a part of its median, on a logarithmic axis.
func channels(before, after []float32, name string) template.HTML {
	const width, height = 205.0, 90.0
	s := newSVG(width, height+14, "largest |x| of the channels of "+name)
	draw := func(class string, list []float32) {
		if len(list) == 0 {
			return
		}
		sorted := slices.Clone(list)
		slices.Sort(sorted)
		median := max(float64(sorted[len(sorted)/2]), 1e-30)
		var points []string
		for i, v := range sorted {
			y := math.Log10(max(float64(v)/median, 1e-2))
			points = append(points, fmt.Sprintf("%.2f,%.2f", float64(i)/float64(max(len(sorted)-1, 1))*width, height-(y+2)/4.5*height))
		}
		fmt.Fprintf(s, `<polyline class="%s" points="%s"><title>%s: the largest channel is %.1f times the median</title></polyline>`,
			class, strings.Join(points, " "), template.HTMLEscapeString(class), float64(sorted[len(sorted)-1])/median)
	}
	for d := -1.0; d <= 2; d++ {
		y := height - (d+2)/4.5*height
		s.line("axis faint", 0, y, width, y)
		s.text("note", 2, y-2, "%g x median", math.Pow(10, d))
	}
	draw("before", before)
	draw("after", after)
	return s.end()
}
