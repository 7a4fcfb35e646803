package compile

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/ssmc/ssmc/artifact"
	"github.com/ssmc/ssmc/calibrate"
	"github.com/ssmc/ssmc/ir"
	"github.com/ssmc/ssmc/loader/family"
	"github.com/ssmc/ssmc/passes"
	"github.com/ssmc/ssmc/quant"
	"github.com/ssmc/ssmc/tokenizer"
)

// Calibration says what the scales of a scheme are made of.
type Calibration struct {
	Source      string // a text, token ids (.safetensors, .npy), or a calibration file
	Save        string // calibration file that is written, and gone on with if it is there; empty: none
	Samples     int    // sequences; 0: the scheme's, or 512
	Length      int    // tokens of each; 0: the scheme's, or 512
	GPTQSamples int    // sequences for the second moments that 4-bit weights need; 0: see calibrate.Grams
	Threads     int    // 0: as many as the process may use
}

// Calibrate runs only the calibration for a scheme, and gives it. Options.Calibration.Source is a text or token ids.
func Calibrate(ctx context.Context, o Options) (*quant.Calibration, error) {
	c, err := open(ctx, o)
	if err != nil {
		return nil, err
	}
	defer c.checkpoint.Close()
	s, err := quant.LoadScheme(c.Scheme)
	if err != nil {
		return nil, err
	}
	defer c.closeFloat()
	cal, _, err := c.calibration(s)
	return cal, err
}

func (c *compiler) closeFloat() {
	if c.float != nil {
		c.float.Close() // only a temporary folder may be left behind
		c.float = nil
	}
}

// quantize reads the scheme and makes its scales, for the passes.
func (c *compiler) quantize() error {
	s, err := quant.LoadScheme(c.Scheme)
	if err != nil {
		return err
	}
	m, err := family.Build(c.checkpoint)
	if err != nil {
		return err
	}
	points, err := calibrate.Rotate(m, s)
	if err != nil {
		return err
	}
	c.Passes.Scheme, c.Passes.Scales = s, &passes.Scales{Values: map[string][]float32{}}
	c.quantized = describe(s, m)
	c.quantized.Rotations = calibrate.Rotation(s, c.result.Graph)
	c.points = points
	if !passes.NeedCalibration(points) { // weights only, or scales are found while running
		c.quantized.Values = storedValues(points, c.Passes.Scales)
		return nil
	}
	cal, grams, err := c.calibration(s)
	if err != nil {
		return err
	}
	c.calibrated, c.grams = cal, grams
	if c.Passes.Scales, err = passes.NewScales(points, cal); err != nil {
		return err
	}
	for _, p := range points {
		if !p.Gram {
			continue
		}
		if grams == nil {
			c.result.Warnings = append(c.result.Warnings, fmt.Sprintf("scheme %s: its 4-bit weights are rounded to nearest, not by GPTQ, which needs the text itself\n  fix: give it, and the calibration file as the one to save", s.Name))
			break
		}
		c.Passes.Scales.Gram = sortedGrams(grams, s, c.Passes.Scales)
	}
	c.quantized.Data = &artifact.CalibrationData{Windows: cal.Meta[calibrate.MetaWindows], Samples: cal.Samples}
	fmt.Sscan(cal.Meta[calibrate.MetaLength], &c.quantized.Data.Length)
	c.quantized.Values = storedValues(points, c.Passes.Scales)
	return nil
}

// calibration reads or makes the calibration for a scheme. There are second moments to be had only if there is data.
func (c *compiler) calibration(s *quant.Scheme) (*quant.Calibration, *calibrate.Grams, error) {
	if c.Source == "" {
		return nil, nil, fmt.Errorf("scheme %s needs scales of values, and so a calibration\n  fix: --calibration with a text, token ids or a calibration file; or --scheme w8a8-token or w8a16, which have none", s.Name)
	}
	model, err := c.modelSum()
	if err != nil {
		return nil, nil, err
	}
	rotation := calibrate.Rotation(s, c.result.Graph)
	if isCalibration(c.Source) {
		cal, err := quant.ReadCalibration(c.Source)
		if err == nil {
			err = c.fits(c.Source, cal, map[string]string{calibrate.MetaModel: model, calibrate.MetaRotation: rotation})
		}
		if err == nil && fmt.Sprint(cal.Samples) != cal.Meta[calibrate.MetaSamples] {
			err = fmt.Errorf("%s has %d of %s samples: its run was interrupted\n  fix: go on with it: give the text, and this file as the one to save", c.Source, cal.Samples, cal.Meta[calibrate.MetaSamples])
		}
		return cal, nil, err
	}
	d, err := c.data(s)
	if err != nil {
		return nil, nil, err
	}
	cal, err := c.started(calibrate.Meta(model, rotation, d))
	if err != nil {
		return nil, nil, err
	}
	return c.observe(s, d, cal)
}

// calibrationRows is how many tokens a step of the float model takes. The values of all layers are kept to the end of a step, so twice as many rows are
// twice the memory, of which a model of 24 layers and 768 channels needs 200 MB so, for a few percent of speed.
const calibrationRows = 256

// observe compiles the float model and runs what is left to be run of a calibration.
func (c *compiler) observe(s *quant.Scheme, d *calibrate.Data, cal *quant.Calibration) (*quant.Calibration, *calibrate.Grams, error) {
	m, err := family.Build(c.checkpoint)
	if err != nil {
		return nil, nil, err
	}
	c.stage("compiling the float model", 0, 0)
	points, err := calibrate.Prepare(m, s)
	if err != nil {
		return nil, nil, err
	}
	if c.float, err = OpenGraph(c.ctx, m, TemporaryOptions{Weights: c.Weights, LLVM: c.LLVM, MaxRows: calibrationRows, Threads: c.Threads}); err != nil {
		return nil, nil, fmt.Errorf("compiling the float model: %w", err)
	}
	watch, err := calibrate.Watches(points, c.float.Kept)
	if err != nil {
		return nil, nil, err
	}
	o := calibrate.Options{Threads: c.Threads, Save: c.Save, Progress: func(done, total int) { c.stage("calibrating", int64(done), int64(total)) }}
	if err := calibrate.Run(c.ctx, c.float.Model, watch, d, cal, o); err != nil {
		return nil, nil, fmt.Errorf("calibrating: %w", err)
	}
	g := calibrate.NewGrams(c.ctx, c.float.Model, watch, d)
	g.Windows = c.GPTQSamples
	g.Progress = func(done, total int) { c.stage("second moments", int64(done), int64(total)) }
	return cal, g, nil
}

// sortedGrams gives second moments in the order that sort and cluster puts channels in. The model that is observed has the old one, and ssm.y is rotated
// behind it, so that its moments are turned back, sorted, and turned again.
func sortedGrams(g *calibrate.Grams, s *quant.Scheme, scales *passes.Scales) func(string) (*quant.Gram, error) {
	return func(tensor string) (*quant.Gram, error) {
		gram, err := g.Of(tensor)
		layer := layerOf(tensor)
		order, sorted := scales.Orders[layer]
		if err != nil || !sorted || tensor != quant.TensorName(quant.SSMY, layer) {
			return gram, err
		}
		var h *quant.Hadamard
		if s.Y.Hadamard {
			if h, err = quant.NewHadamard(gram.K); err != nil {
				h = nil // the pass leaves such a width alone
			} else if s.Y.Signs {
				h = h.WithSigns(s.Y.Seed)
			}
		}
		return gram.Map(func(x []float64) error {
			if h != nil {
				h.Transpose().Apply(x)
			}
			y, err := quant.Reorder(x, 1, order.Channels)
			if err != nil {
				return err
			}
			copy(x, y)
			if h != nil {
				h.Apply(x)
			}
			return nil
		})
	}
}

// data reads what the model is to run on.
func (c *compiler) data(s *quant.Scheme) (*calibrate.Data, error) {
	samples, length := c.Samples, c.Length
	if samples == 0 {
		samples = s.Calibrate.Samples
	}
	if length == 0 {
		length = s.Calibrate.Length
	}
	if samples == 0 {
		samples = 512
	}
	if length == 0 {
		length = 512
	}
	if calibrate.IsIDs(c.Source) {
		return calibrate.ReadIDs(c.Source, samples, length, s.Calibrate.Carry)
	}
	c.stage("reading "+c.Source, 0, 0)
	tok, err := tokenizer.Load(filepath.Join(c.checkpoint.Dir, artifact.TokenizerFile))
	if err != nil {
		return nil, fmt.Errorf("calibrating on a text needs the model's tokenizer: %w\n  fix: give token ids: --calibration ids.safetensors", err)
	}
	return calibrate.ReadText(c.Source, tok, samples, length, s.Calibrate.Carry)
}

// started is the calibration to go on with: what was saved, or an empty one.
func (c *compiler) started(meta map[string]string) (*quant.Calibration, error) {
	fresh := quant.NewCalibration()
	fresh.Meta = meta
	if c.Save == "" {
		return fresh, nil
	}
	_, err := os.Stat(c.Save)
	if errors.Is(err, fs.ErrNotExist) {
		return fresh, nil
	}
	cal, err := quant.ReadCalibration(c.Save)
	if err != nil {
		return nil, err
	}
	return cal, c.fits(c.Save, cal, meta)
}

// fits holds that a calibration is of this model and run.
func (c *compiler) fits(path string, cal *quant.Calibration, want map[string]string) error {
	if diff := calibrate.Differences(cal.Meta, want); len(diff) > 0 {
		return fmt.Errorf("%s is another calibration:\n  %s\n  fix: calibrate anew, into another file", path, strings.Join(diff, "\n  "))
	}
	return nil
}

// modelSum is one checksum of all files of the checkpoint.
func (c *compiler) modelSum() (string, error) {
	c.stage("checksums of the checkpoint", 0, 0)
	sources, err := c.checkpoint.Sources(c.ctx)
	if err != nil {
		return "", err
	}
	h := sha256.New()
	for _, s := range sources {
		fmt.Fprintln(h, s.Name, s.SHA256)
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// isCalibration says whether a file begins as calibration files do.
func isCalibration(path string) bool {
	f, err := os.Open(path)
	if err != nil {
		return false
	}
	defer f.Close()
	head := make([]byte, len(calibrationHead))
	n, _ := io.ReadFull(f, head)
	return bytes.Equal(head[:n], []byte(calibrationHead))
}

const calibrationHead = "ssmccal"

// describe lists how the weights of a float graph are stored by a scheme.
func describe(s *quant.Scheme, m *ir.Module) *artifact.Quantization {
	q := &artifact.Quantization{Scheme: s.Name, Extends: s.Extends, Values: []artifact.StoredValue{}, Weights: []artifact.StoredWeight{}}
	seen := map[string]bool{}
	for _, v := range m.Func.Weights {
		role := quant.Role(v.Role)
		if !quant.IsWeightRole(role) {
			continue
		}
		layer := layerOf(v.Name)
		name := quant.TensorName(role, layer)
		w := s.Weight(role, layer)
		if seen[name] {
			continue
		}
		seen[name] = true
		stored := artifact.StoredWeight{Name: name, Type: w.Type.String(), Scale: granularity(w.Scale)}
		if w.Method.GPTQ {
			stored.Method = "gptq"
		}
		q.Weights = append(q.Weights, stored)
	}
	return q
}

// storedValues lists how values are stored, with their scales.
func storedValues(points []passes.Point, scales *passes.Scales) []artifact.StoredValue {
	list := []artifact.StoredValue{}
	for _, p := range points {
		if p.Scales == 0 && !p.Dynamic {
			continue
		}
		v := artifact.StoredValue{Name: p.Tensor, Type: quant.I8.String(), Scale: granularity(p.Spec.Scale), Observe: observer(p.Spec.Observe)}
		if v.Scale != artifact.PerStateChannel {
			v.Scales = scales.Values[p.Tensor]
		}
		list = append(list, v)
	}
	return list
}

func granularity(g quant.Granularity) string {
	switch g.Kind {
	case quant.NoScale:
		return ""
	case quant.PerGroup:
		return fmt.Sprintf("group of %d", g.Group)
	}
	return g.Kind.String()
}

func observer(o quant.Observer) string {
	text, _ := o.MarshalJSON()
	return strings.Trim(strings.ReplaceAll(string(text), `"`, ""), "{}")
}

// layerOf is the number of the layer that a value's name begins with.
func layerOf(name string) int {
	n := quant.Outside
	if rest, ok := strings.CutPrefix(name, "layers."); ok {
		fmt.Sscanf(rest, "%d", &n)
	}
	return n
}
