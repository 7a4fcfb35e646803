package main

import (
	"context"
	"fmt"

	"github.com/ssmc/ssmc/calibrate"
	"github.com/ssmc/ssmc/compile"
	"github.com/ssmc/ssmc/quant"
)

// calibrated is the JSON of a calibrate.
type calibrated struct {
	Output   string `json:"output"`
	Samples  int    `json:"samples"`
	Length   string `json:"length"`
	Rotation string `json:"rotation"`
	Tensors  int    `json:"tensors"`
}

func calibrateCommand() *command {
	c := &command{
		about: `Runs the float model over a text and keeps statistics of every value that a scheme may store as codes, in one small file. compile makes any scheme with the
same rotations of it, without running the model again. A run that was interrupted goes on where it was: give the same command again.`,
		examples: []string{
			"ssmc calibrate ./mamba-130m --text text.txt -o 130m.calib",
			"ssmc calibrate ./mamba-130m --text ids.safetensors -o 130m.calib --scheme quamba-w8a8 --samples 128",
			"ssmc compile ./mamba-130m -o out8 --scheme w8a8 --calibration 130m.calib",
		},
	}
	var o compile.Options
	g := c.flags("what")
	g.StringVar(&o.Source, "text", "", "`file` with the text, or with token ids (.safetensors, .npy)")
	g.StringVarP(&o.Save, "output", "o", "", "calibration `file`")
	g.StringVar(&o.Scheme, "scheme", quant.DefaultScheme, "`scheme` whose rotations the model gets, and whose observers are kept")
	g.StringVar(&o.Weights, "weights", "as-is", "`type` of the float model's matrices: f32, bf16, or as-is")
	calibrationFlags(g, &o)
	asJSON := c.jsonFlag(g)
	c.run = func(ctx context.Context, t *terminal, args []string) error {
		if err := wantArgs(args, 1, 1, "MODEL"); err != nil {
			return err
		}
		if o.Source == "" || o.Save == "" {
			return usagef("calibrate needs --text FILE and -o FILE")
		}
		if err := checkQuantization(&o); err != nil {
			return err
		}
		o.Model, o.Progress = args[0], t.stage
		cal, err := compile.Calibrate(ctx, o)
		if err != nil {
			return err
		}
		r := calibrated{o.Save, cal.Samples, cal.Meta[calibrate.MetaLength], cal.Meta[calibrate.MetaRotation], len(cal.Tensors)}
		if *asJSON {
			return printJSON(t, r)
		}
		return t.table([][]string{
			{"samples", fmt.Sprintf("%d of %s tokens", r.Samples, r.Length)},
			{"rotations", r.Rotation},
			{"tensors", fmt.Sprint(r.Tensors)},
			{"written", r.Output},
		})
	}
	return c
}
