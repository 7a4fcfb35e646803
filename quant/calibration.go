package quant

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
)

// Calibration is what observers saw of a model: everything that any scheme needs to make scales. It is one small file.
type Calibration struct {
	Meta    map[string]string // what it is from: checksums of model and text, tokens a sample
	Samples int               // samples 0..Samples-1 are in it: a run that was interrupted goes on here
	Tensors map[string]*Stats // by TensorName
}

// TensorName is the name of a value of a role in a layer; Outside has no number.
func TensorName(role Role, layer int) string {
	if layer == Outside {
		return string(role)
	}
	return fmt.Sprintf("layers.%d.%s", layer, role)
}

// NewCalibration is empty.
func NewCalibration() *Calibration {
	return &Calibration{Meta: map[string]string{}, Tensors: map[string]*Stats{}}
}

// Merge adds what another one saw of the same model in other samples. samples is the number of samples in both together.
func (c *Calibration) Merge(o *Calibration, samples int) error {
	for _, name := range slices.Sorted(maps.Keys(o.Tensors)) {
		s, known := c.Tensors[name]
		if !known {
			s = NewStats(o.Tensors[name].keep)
			c.Tensors[name] = s
		}
		if err := s.Merge(o.Tensors[name]); err != nil {
			return fmt.Errorf("merging %s: %w", name, err)
		}
	}
	c.Samples = samples
	return nil
}

// Stats finds the statistics of a role in a layer.
func (c *Calibration) Stats(role Role, layer int) (*Stats, error) {
	name := TensorName(role, layer)
	s, ok := c.Tensors[name]
	if !ok {
		return nil, fmt.Errorf("%s: the calibration has nothing about it\n  fix: calibrate again with this model", name)
	}
	return s, s.Check(name)
}

// WriteFile writes the calibration under a temporary name and renames it, so that one that is interrupted leaves the last whole file.
func (c *Calibration) WriteFile(path string) error {
	data, err := c.Encode()
	if err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*")
	if err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	defer os.Remove(f.Name()) // fails after the rename, as it should
	if _, err = f.Write(data); err == nil {
		err = f.Sync()
	}
	if closed := f.Close(); err == nil {
		err = closed
	}
	if err == nil {
		err = os.Chmod(f.Name(), 0o644)
	}
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	return nil
}

// maxCalibrationBytes is far above any calibration: 10,000 tensors with 16,384 channels have 1.3 GB.
const maxCalibrationBytes = 2 << 30

// ReadCalibration reads and checks a calibration file.
func ReadCalibration(path string) (*Calibration, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("reading a calibration: %w", err)
	}
	if !info.Mode().IsRegular() || info.Size() > maxCalibrationBytes {
		return nil, fmt.Errorf("%s: it is not a calibration file of ssmc", path)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("reading a calibration: %w", err)
	}
	c, err := DecodeCalibration(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return c, nil
}
