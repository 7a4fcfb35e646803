package artifact

import "fmt"

// Quantization says how the values and weights of a quantized model are stored: the scheme, resolved for every layer, with the scales that it came to.
type Quantization struct {
	Scheme    string           `json:"scheme"`
	Extends   []string         `json:"extends,omitempty"` // the schemes below it, nearest first
	Rotations string           `json:"rotations"`         // "stream, ssm.y"; "none"
	Data      *CalibrationData `json:"calibration,omitempty"`
	Values    []StoredValue    `json:"values"`
	Weights   []StoredWeight   `json:"weights"`
}

// What StoredValue.Scale says where no scales are in the manifest.
const (
	PerToken        = "token"           // each row has its own, found while running
	PerStateChannel = "channel_x_state" // of a state, one for each element: they are in the weights file
)

// CalibrationData is what the scales are of.
type CalibrationData struct {
	Samples int    `json:"samples"`
	Length  int    `json:"length"`  // tokens of each
	Windows string `json:"windows"` // SHA-256 of their token ids
}

// StoredValue is how one value of the graph is stored.
type StoredValue struct {
	Name    string    `json:"name"` // layers.3.ssm.u
	Type    string    `json:"type"`
	Scale   string    `json:"scale,omitempty"`   // what has one: tensor, channel, ...
	Observe string    `json:"observe,omitempty"` // what made it of the values seen
	Scales  []float32 `json:"scales,omitempty"`
}

// StoredWeight is how one weight is stored. Its scales are in the weights file.
type StoredWeight struct {
	Name   string `json:"name"` // layers.3.ssm.in_proj
	Type   string `json:"type"`
	Scale  string `json:"scale,omitempty"`
	Method string `json:"method,omitempty"` // gptq; empty: round to nearest
}

// CodeProducts says whether some of a model's contractions multiply codes by codes.
func (m *Manifest) CodeProducts() bool {
	if m.Quantization == nil {
		return false
	}
	for _, v := range m.Quantization.Values {
		if v.Type == "i8" {
			return true
		}
	}
	return false
}

func (q *Quantization) check(c *checker) {
	c.that(q.Scheme != "", "quantization.scheme", "is empty")
	for i, v := range q.Values {
		where := fmt.Sprintf("quantization.values[%d] %.40q", i, v.Name)
		elsewhere := v.Scale == PerToken || v.Scale == PerStateChannel
		c.that((v.Type == "i8" && !elsewhere) == (len(v.Scales) > 0), where, "is stored as %.20q and has %d scales", v.Type, len(v.Scales))
		for _, s := range v.Scales {
			c.that(s > 0 && s-s == 0, where, "has the scale %v", s)
		}
	}
}
