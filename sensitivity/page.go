package sensitivity

import (
	_ "embed"
	"fmt"
	"html/template"
	"io"

	"github.com/ssmc/ssmc/quant"
)

//go:embed page.html
var pageText string

// pageTemplate is the page; it has no script and reads no other file.
var pageTemplate = template.Must(template.New("page").Funcs(template.FuncMap{
	"db":      func(v float64) string { return fmt.Sprintf("%.1f", v) },
	"num":     func(v float64) string { return fmt.Sprintf("%.4g", v) },
	"percent": func(v float64) string { return fmt.Sprintf("%.3g %%", 100*v) },
}).Parse(pageText))

// page is what the template reads.
type page struct {
	*Study
	KL, Stream, Bytes template.HTML
	Histograms        []pictures // by layer
	Channels          []pictures
}

// pictures is a row of pictures under a title.
type pictures struct {
	Title string
	List  []picture
}

type picture struct {
	Name string
	SVG  template.HTML
}

// WriteHTML writes a study as one self-contained page.
func WriteHTML(w io.Writer, s *Study) error {
	p := &page{Study: s}
	var kl, stream, bytes []bar
	for _, l := range s.Layers {
		name := layerTitle(l.Layer)
		kl = append(kl, bar{name, l.KL, fmt.Sprintf("%.6f", l.KL)})
		bytes = append(bytes, bar{name, float64(l.Bytes), fmt.Sprintf("%.2f MB of %.2f", float64(l.Bytes)/1e6, float64(l.FloatBytes)/1e6)})
		if l.Stream != nil {
			stream = append(stream, bar{name, *l.Stream, fmt.Sprintf("%.1f dB", *l.Stream)})
		}
	}
	p.KL = bars("mean KL with only this layer quantized", kl)
	p.Stream = bars("SQNR of the residual stream behind each layer", stream)
	p.Bytes = bars("bytes of the weights by layer", bytes)
	p.histograms()
	p.channels()
	return pageTemplate.Execute(w, p)
}

func layerTitle(layer int) string {
	if layer == quant.Outside {
		return "embedding, head"
	}
	return fmt.Sprintf("layer %d", layer)
}

// histograms makes the pictures of every value that is stored as codes.
func (p *page) histograms() {
	if p.calibration == nil {
		return
	}
	for _, l := range p.Layers {
		row := pictures{Title: layerTitle(l.Layer)}
		for _, t := range p.Tensors {
			stats := p.calibration.Tensors[t.Name]
			if t.Layer == l.Layer && !t.Weight && stats != nil {
				row.List = append(row.List, picture{t.Role, histogram(stats.Histogram(), float64(t.Scale), t.Name)})
			}
		}
		if len(row.List) > 0 {
			p.Histograms = append(p.Histograms, row)
		}
	}
}

// channels makes the pictures of what rotations do.
func (p *page) channels() {
	if p.plain == nil {
		return
	}
	for _, l := range p.Layers {
		row := pictures{Title: layerTitle(l.Layer)}
		for _, role := range []quant.Role{quant.NormOut, quant.SSMY, quant.HeadIn} {
			name := quant.TensorName(role, l.Layer)
			before, after := p.plain.Tensors[name], p.calibration.Tensors[name]
			if before != nil && after != nil {
				row.List = append(row.List, picture{string(role), channels(before.ChannelMax(), after.ChannelMax(), name)})
			}
		}
		if len(row.List) > 0 {
			p.Channels = append(p.Channels, row)
		}
	}
}
