package main

import (
	"context"
	"fmt"

	"github.com/ssmc/ssmc/artifact"
	"github.com/ssmc/ssmc/runtime"
)

// verified is the JSON of a verify: the comparison's fields stand at the top.
type verified struct {
	Checksums bool   `json:"checksums"`
	Problem   string `json:"problem,omitempty"`
	*runtime.Verification
	Saturation []runtime.Saturation `json:"saturation,omitempty"` // of an artefact that counts
	Pass       bool                 `json:"pass"`
}

func verifyCommand() *command {
	c := &command{
		about: `Compares the files of an artefact with the checksums in its manifest. With --reference it also runs the input_ids of a file and compares the logits, and the greedy
continuation if the file has one. Exit code 3 when something differs by more than the tolerance.`,
		examples: []string{
			"ssmc verify out",
			"ssmc verify out --reference mamba-tiny/reference.safetensors",
			"ssmc verify out --reference reference.safetensors --tolerance 1e-3 --json",
		},
	}
	g := c.flags("what")
	reference := g.String("reference", "", "`file` with input_ids and logits (or logits_f64), perhaps generated_ids")
	tolerance := g.Float64("tolerance", 0, "largest allowed `difference` of a logit; 0: what reference.json beside the file says, else 2e-5 of the largest logit")
	asJSON := c.jsonFlag(g)
	var o machineOptions
	machineFlags(c, &o)
	c.run = func(ctx context.Context, t *terminal, args []string) error {
		if err := wantArgs(args, 1, 1, "DIR"); err != nil {
			return err
		}
		if *tolerance < 0 || *tolerance != *tolerance {
			return usagef("--tolerance %v is no difference", *tolerance)
		}
		v, err := verify(ctx, t, args[0], *reference, *tolerance, o)
		if err != nil {
			return err
		}
		if *asJSON {
			err = printJSON(t, v)
		} else {
			if err = v.print(t); err == nil {
				err = showSaturation(t, t.stdout, v.Saturation)
			}
		}
		if err == nil && !v.Pass {
			return errShort
		}
		return err
	}
	return c
}

func verify(ctx context.Context, t *terminal, dir, reference string, tolerance float64, o machineOptions) (*verified, error) {
	manifest, err := artifact.Read(dir)
	if err != nil {
		return nil, err
	}
	total := int64(0)
	for _, f := range manifest.Files {
		total += f.Bytes
	}
	err = manifest.VerifyFiles(ctx, dir, func(done int64) { t.stage("checksums", done, total) })
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	if err != nil { // damaged code is not run
		return &verified{Problem: err.Error()}, nil
	}
	v := &verified{Checksums: true, Pass: true}
	if reference == "" {
		return v, nil
	}
	m, err := openModel(dir, o)
	if err != nil {
		return nil, err
	}
	defer m.Close()
	t.stage("running "+reference, 0, 0)
	if v.Verification, err = m.Verify(ctx, reference, tolerance); err != nil {
		return nil, err
	}
	v.Pass, v.Saturation = v.Verification.Pass, m.Saturation()
	return v, nil
}

func (v *verified) print(t *terminal) error {
	rows := [][]string{{"checksums", verdict(v.Checksums)}}
	if v.Problem != "" {
		rows = append(rows, []string{"", v.Problem})
	}
	if r := v.Verification; r != nil {
		diff := "not a number"
		if r.MaxAbsDiff != nil {
			diff = fmt.Sprintf("%.3g", *r.MaxAbsDiff)
		}
		rows = append(rows, []string{"logits", fmt.Sprintf("largest difference %s at %v, tolerance %.3g", diff, r.At, r.Tolerance)})
		if r.GreedyMatch != nil {
			rows = append(rows, []string{"greedy", fmt.Sprintf("%s (%d tokens equal)", verdict(*r.GreedyMatch), r.GreedyEqual)})
		}
		if r.StateDiff != nil {
			rows = append(rows, []string{"states", fmt.Sprintf("largest difference %.3g of the largest element", *r.StateDiff)})
		}
	}
	return t.table(append(rows, []string{"result", verdict(v.Pass)}))
}

func verdict(ok bool) string {
	if ok {
		return "pass"
	}
	return "FAIL"
}
