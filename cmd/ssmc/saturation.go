package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/ssmc/ssmc/runtime"
)

// saturationRows is the table of clamped values, the largest share first. Tensors of which nothing was clamped are one line.
func saturationRows(list []runtime.Saturation) [][]string {
	rows := [][]string{{"tensor", "layer", "values", "clamped", "share"}}
	none, seen := 0, int64(0)
	for _, s := range list {
		if s.Clamped == 0 {
			none++
			seen += s.Seen
			continue
		}
		layer := "-"
		if s.Layer >= 0 {
			layer = fmt.Sprint(s.Layer)
		}
		rows = append(rows, []string{s.Tensor, layer, fmt.Sprint(s.Seen), fmt.Sprint(s.Clamped), fmt.Sprintf("%.5f %%", 100*s.Share)})
	}
	if none > 0 {
		rows = append(rows, []string{fmt.Sprintf("%d other tensors", none), "", fmt.Sprint(seen), "0", "0 %"})
	}
	return rows
}

// showSaturation prints the table of an artefact that counts, behind an empty line, and warns of calibrated ranges that did not fit.
func showSaturation(t *terminal, to io.Writer, list []runtime.Saturation) error {
	if len(list) == 0 {
		return nil
	}
	t.endStage()
	fmt.Fprintln(to)
	err := writeTable(to, saturationRows(list))
	warnSaturation(t, list)
	return err
}

// warnSaturation names the tensors of which more was clamped than a calibrated range should.
func warnSaturation(t *terminal, list []runtime.Saturation) {
	var worst []string
	over := 0
	for _, s := range list {
		if s.Share <= runtime.SaturationLimit {
			break // the largest come first
		}
		if over++; len(worst) < 3 {
			worst = append(worst, fmt.Sprintf("%s (%.3g %%)", s.Tensor, 100*s.Share))
		}
	}
	if over > 0 {
		t.warn(fmt.Sprintf("calibrated range exceeded: of %d tensors more than %v %% of the values were clamped, most of %s\n  fix: calibrate with text like this, or give these roles another observer in the scheme",
			over, 100*runtime.SaturationLimit, strings.Join(worst, ", ")))
	}
}
