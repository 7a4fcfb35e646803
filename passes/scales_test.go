package passes

import (
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"

	"github.com/ssmc/ssmc/quant"
)

// Points lists what calibration sees.
//
//	points model=mamba-tiny
//	(the lines of a scheme)
func TestPoints(t *testing.T) {
	t.Setenv("SSMC_CHECK", "0") // TestSchemes checks these graphs
	datadriven.RunTest(t, "testdata/points", func(t *testing.T, d *datadriven.TestData) string {
		var model string
		d.ScanArgs(t, "model", &model)
		s := schemeOf(t, d.Input)
		points, err := Points(prepared(t, model, s), s)
		if err != nil {
			return err.Error() + "\n"
		}
		var b strings.Builder
		for _, p := range points {
			if p.Layer > 0 {
				continue
			}
			fmt.Fprintf(&b, "%s: %%%s, %d channels, %d scales", p.Tensor, p.Value, p.Channels, p.Scales)
			if p.Scales > 0 {
				observer, err := p.Spec.Observe.MarshalJSON()
				if err != nil {
					t.Fatal(err)
				}
				fmt.Fprintf(&b, " by %s", observer)
			}
			if len(p.Spec.Share) > 0 {
				fmt.Fprintf(&b, ", shared with %v", p.Spec.Share)
			}
			if p.Groups > 0 {
				fmt.Fprintf(&b, ", %d groups", p.Groups)
			}
			if c := p.Cells; c != nil {
				fmt.Fprintf(&b, ", %d x %d cells of %d heads of %d in each of %d groups", c.HeadGroups, c.ChannelGroups, c.Heads, c.Dim, c.Groups)
			}
			if k := p.Keep; k.Channels > 0 || k.Means || len(k.Moving) > 0 {
				fmt.Fprintf(&b, ", keeps %+v", k)
			}
			if p.Smooth {
				b.WriteString(", smoothed")
			}
			if p.Gram {
				b.WriteString(", second moments")
			}
			b.WriteByte('\n')
		}
		return b.String()
	})
}

// Scales that a calibration cannot give are named, all at once.
func TestScalesOfWrongCalibration(t *testing.T) {
	const model = "mamba2-groups"
	s := schemeOf(t, "extends: w8a8\nvalues: {ssm.B: {type: i8, scale: ssd_group}}")
	points := pointsOf(t, prepared(t, model, s), s)
	c := quant.NewCalibration()
	for _, p := range points {
		switch p.Tensor {
		case "layers.1.ssm.z":
			continue
		case "layers.0.ssm.B":
			p.Keep.Channels = 0
		}
		c.Tensors[p.Tensor] = quant.NewStats(p.Keep)
		x := make([]float32, p.Channels)
		if x[0] = 1; p.Tensor == "layers.2.ssm.x.C" {
			x[0] = float32(math.NaN())
		}
		if err := c.Tensors[p.Tensor].Add(0, x); err != nil {
			t.Fatal(err)
		}
		c.Tensors[p.Tensor].End(0)
	}
	_, err := NewScales(points, c)
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{"layers.1.ssm.z: the calibration has nothing about it", "layers.0.ssm.B: the calibration has the largest values of 0 channels, not of 32",
		"layers.2.ssm.x.C: 1 values that are not numbers"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%v\ndoes not say %q", err, want)
		}
	}
}
