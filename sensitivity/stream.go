package sensitivity

import (
	"context"

	"github.com/ssmc/ssmc/calibrate"
	"github.com/ssmc/ssmc/codegen/kernel"
	"github.com/ssmc/ssmc/compare"
	"github.com/ssmc/ssmc/compile"
	"github.com/ssmc/ssmc/passes"
	"github.com/ssmc/ssmc/quant"
	"github.com/ssmc/ssmc/runtime"
)

// streams runs a compiled model on windows, one after another, and hands out the rows of each value that it keeps: of value i, window by window.
func streams(ctx context.Context, t *compile.Temporary, windows [][]int32, see func(i int, rows []float32)) error {
	slot, err := t.NewSlot()
	if err != nil {
		return err
	}
	defer slot.Free()
	for _, ids := range windows {
		if err := slot.Reset(); err != nil {
			return err
		}
		err := t.RunWatched(ctx, []runtime.Input{{Slot: slot, IDs: ids}}, nil, func(l *runtime.Left) error {
			for i, k := range t.Kept {
				for _, p := range l.Parts {
					see(i, rowsOf(l, p, k))
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// rowsOf copies what a part of a step left of a value.
func rowsOf(l *runtime.Left, p runtime.LeftPart, k kernel.Kept) []float32 {
	return append([]float32(nil), l.Rows(nil, k.Offset, k.Stride, k.Columns, p.Row, p.To-p.From)...)
}

// collect is streams with all rows of each value joined.
func collect(ctx context.Context, t *compile.Temporary, windows [][]int32) ([][]float32, error) {
	all := make([][]float32, len(t.Kept))
	err := streams(ctx, t, windows, func(i int, rows []float32) { all[i] = append(all[i], rows...) })
	return all, err
}

// departure is the SQNR of kept values of the quantized model against those of the float one, in dB.
func departure(want, got [][]float32) []float64 {
	db := make([]float64, len(want))
	for i := range want {
		db[i] = compare.DB(noise(want[i], got[i]))
	}
	return db
}

// openFloat compiles the float model, and keeps the named values.
func openFloat(s *compile.Scaled, names []string) (*compile.Temporary, error) {
	m, err := s.Float()
	if err != nil {
		return nil, err
	}
	if err := calibrate.Keep(m, names); err != nil {
		return nil, err
	}
	return s.Open(m)
}

// openQuantized compiles the model as a scheme stores it, and keeps the named values.
func openQuantized(s *compile.Scaled, scheme *quant.Scheme, scales *passes.Scales, names []string) (*compile.Temporary, error) {
	m, err := s.Quantized(scheme, scales, names)
	if err != nil {
		return nil, err
	}
	return s.Open(m)
}
