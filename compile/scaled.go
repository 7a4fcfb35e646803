package compile

import (
	"context"

	"github.com/ssmc/ssmc/calibrate"
	"github.com/ssmc/ssmc/ir"
	"github.com/ssmc/ssmc/loader/family"
	"github.com/ssmc/ssmc/passes"
	"github.com/ssmc/ssmc/quant"
)

// Scaled is an open checkpoint with a scheme and the scales that it comes to: what studies and searches work on.
type Scaled struct {
	Scheme      *quant.Scheme
	Scales      *passes.Scales
	Points      []passes.Point     // the values that the scheme stores as codes
	Calibration *quant.Calibration // nil: the scheme needs none
	Dir         string             // of the checkpoint
	Warnings    []string
	c           *compiler
}

// Scale reads a checkpoint and makes the scales of a scheme, as Run does.
func Scale(ctx context.Context, o Options) (*Scaled, error) {
	c, err := open(ctx, o)
	if err != nil {
		return nil, err
	}
	s := &Scaled{c: c, Dir: c.checkpoint.Dir}
	if err := c.quantize(); err != nil {
		s.Close()
		return nil, err
	}
	s.Scheme, s.Scales, s.Points, s.Calibration, s.Warnings = c.Passes.Scheme, c.Passes.Scales, c.points, c.calibrated, c.result.Warnings
	return s, nil
}

// Close closes the checkpoint. Graphs of it must not be used afterwards.
func (s *Scaled) Close() {
	s.c.closeFloat()
	s.c.checkpoint.Close()
}

// Build is the model's graph as its family has it.
func (s *Scaled) Build() (*ir.Module, error) { return family.Build(s.c.checkpoint) }

// Float is the graph in float, rotated as the scheme says, in no groups.
func (s *Scaled) Float() (*ir.Module, error) {
	m, err := s.Build()
	if err == nil {
		_, err = calibrate.Rotate(m, s.Scheme)
	}
	return m, err
}

// ScalesOf makes the scales of another scheme with the same rotations.
func (s *Scaled) ScalesOf(scheme *quant.Scheme) (*passes.Scales, error) {
	m, err := s.Build()
	if err != nil {
		return nil, err
	}
	points, err := calibrate.Rotate(m, scheme)
	if err != nil {
		return nil, err
	}
	if !passes.NeedCalibration(points) || s.Calibration == nil {
		return &passes.Scales{}, nil
	}
	scales, err := passes.NewScales(points, s.Calibration)
	if err == nil && s.c.grams != nil {
		scales.Gram = sortedGrams(s.c.grams, scheme, scales)
	}
	return scales, err
}

// Quantized is the graph as another scheme with the same rotations stores it, with the scales of this one, or with other scales if they are not nil.
// With keep, values by these names can be read behind each step.
func (s *Scaled) Quantized(scheme *quant.Scheme, scales *passes.Scales, keep []string) (*ir.Module, error) {
	if scales == nil {
		scales = s.Scales
	}
	m, err := s.Build()
	if err != nil {
		return nil, err
	}
	if _, err := passes.Run(m, passes.Options{Scheme: scheme, Scales: scales, StopAfter: "quantize"}); err != nil {
		return nil, err
	}
	return m, calibrate.Keep(m, keep)
}

// Open compiles a graph for this machine and opens it.
func (s *Scaled) Open(m *ir.Module) (*Temporary, error) {
	return OpenGraph(s.c.ctx, m, TemporaryOptions{Weights: s.c.Weights, LLVM: s.c.LLVM, Threads: s.c.Calibration.Threads})
}
