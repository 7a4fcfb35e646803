package family

import "github.com/ssmc/ssmc/ir"

// buildFalconMamba builds model_type falcon_mamba: Mamba-1 with weightless RMS norms on dt's low-rank input, B and C.
func buildFalconMamba(c *checkpoint) (*ir.Module, error) {
	bb, mixer := readMamba(c)
	r := &reader{Config: c.Config}
	mixer.partNorm = r.eps("mixer_rms_eps", 1e-6)
	if err := c.Config.Problems().Err(); err != nil {
		return nil, err
	}
	return bb.build(c, mixer.build)
}
