package quant

import (
	"bytes"
	"crypto/sha256"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// someCalibration has one of everything that the file can hold.
func someCalibration(t testing.TB) *Calibration {
	t.Helper()
	c := NewCalibration()
	c.Meta["model"], c.Meta["text"] = "sha256:12", "calib.txt"
	c.Samples = 3
	r := random(2)
	for name, k := range map[string]Keep{TensorName(SSMU, 0): {Channels: 5, Means: true, Moving: Published}, TensorName(SSMX, 0): {Channels: 7}, TensorName(HeadIn, Outside): {}} {
		s := NewStats(k)
		for _, i := range []int{0, 1, 5} {
			if err := s.Add(i, normal32(r, 35)); err != nil {
				t.Fatal(err)
			}
			s.End(i)
		}
		c.Tensors[name] = s
	}
	bad := NewStats(Keep{})
	if err := bad.Add(2, []float32{float32(math.NaN()), 1}); err != nil {
		t.Fatal(err)
	}
	c.Tensors["layers.0.bad"] = bad
	c.Tensors["layers.0.empty"] = NewStats(Keep{Channels: 2})
	return c
}

func TestCalibrationFile(t *testing.T) {
	c := someCalibration(t)
	path := filepath.Join(t.TempDir(), "calibration")
	if err := c.WriteFile(path); err != nil {
		t.Fatal(err)
	}
	back, err := ReadCalibration(path)
	if err != nil {
		t.Fatal(err)
	}
	first, err := c.Encode()
	if err != nil {
		t.Fatal(err)
	}
	again, err := back.Encode()
	if err != nil || !bytes.Equal(first, again) {
		t.Errorf("what was read is written differently (%v)", err)
	}
	if left, _ := os.ReadDir(filepath.Dir(path)); len(left) != 1 {
		t.Errorf("%d files are left", len(left))
	}
	u, err := back.Stats(SSMU, 0)
	if err != nil {
		t.Fatal(err)
	}
	// A run that was interrupted goes on.
	whole := c.Tensors[TensorName(SSMU, 0)]
	for _, s := range []*Stats{u, whole} {
		for i := 2; i < 5; i++ {
			if err := s.Add(i, []float32{1, -2, 3, 4, float32(i)}); err != nil {
				t.Fatal(err)
			}
			s.End(i)
		}
	}
	same(t, "going on", encode(t, u), encode(t, whole))
	if _, err := back.Stats("bad", 0); err == nil || !strings.Contains(err.Error(), "layers.0.bad: 1 values that are not numbers") {
		t.Errorf("statistics with a NaN: %v", err)
	}
	if _, err := back.Stats(SSMZ, 0); err == nil {
		t.Error("statistics of a value that was not observed")
	}
	if _, err := ReadCalibration(filepath.Join(t.TempDir(), "none")); err == nil {
		t.Error("a file that is not there is read")
	}
}

func TestCalibrationMerge(t *testing.T) {
	a, b := NewCalibration(), NewCalibration()
	for i, c := range []*Calibration{a, b} {
		for _, name := range []string{"x", string(rune('a' + i))} {
			s := NewStats(Keep{})
			if err := s.Add(i, []float32{float32(i + 1)}); err != nil {
				t.Fatal(err)
			}
			c.Tensors[name] = s
		}
	}
	if err := a.Merge(b, 2); err != nil {
		t.Fatal(err)
	}
	if n := a.Tensors["x"].Histogram().Count(); n != 2 || len(a.Tensors) != 3 || a.Samples != 2 {
		t.Errorf("%d values of x, %d tensors, %d samples", n, len(a.Tensors), a.Samples)
	}
	c := NewCalibration()
	c.Tensors["x"] = NewStats(Keep{Channels: 4})
	if err := a.Merge(c, 2); err == nil || !strings.Contains(err.Error(), "x") {
		t.Errorf("different kinds: %v", err)
	}
	open := NewStats(Keep{Moving: Published})
	if err := open.Add(0, []float32{1}); err != nil {
		t.Fatal(err)
	}
	if _, err := (&Calibration{Tensors: map[string]*Stats{"x": open}}).Encode(); err == nil {
		t.Error("a sample that has not ended is written")
	}
}

func TestDamagedCalibration(t *testing.T) {
	data, err := someCalibration(t).Encode()
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range []int{0, 7, 8, 39, 40, len(data) - 1} {
		if _, err := DecodeCalibration(data[:n]); err == nil {
			t.Errorf("the first %d bytes are read", n)
		}
	}
	for i := range data {
		damaged := bytes.Clone(data)
		damaged[i] ^= 0x10
		if _, err := DecodeCalibration(damaged); err == nil {
			t.Fatalf("byte %d is damaged, and nobody sees it", i)
		}
	}
}

// seal puts magic and checksum around a body.
func seal(body []byte) []byte {
	data := append([]byte(calibrationMagic), body...)
	sum := sha256.Sum256(data)
	return append(data, sum[:]...)
}

// FuzzCalibration reads damaged bodies with a right checksum: what is read is written as the same bytes, and can be asked.
func FuzzCalibration(f *testing.F) {
	data, err := someCalibration(f).Encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data[len(calibrationMagic) : len(data)-sha256.Size])
	f.Add([]byte{0, 0, 0})
	f.Add([]byte{0, 0, 0xff, 0xff, 0xff, 0xff, 0x0f})
	f.Fuzz(func(t *testing.T, body []byte) {
		data := seal(body)
		c, err := DecodeCalibration(data)
		if err != nil {
			return
		}
		again, err := c.Encode()
		if err != nil || !bytes.Equal(again, data) {
			t.Fatalf("%x is written as %x (%v)", data, again, err)
		}
		for _, s := range c.Tensors {
			for _, o := range []Observer{{}, {Kind: Percentile, Alpha: 0.999}, {Kind: Percentile, Alpha: 1}} {
				if a, err := s.Amax(o); err != nil || !(a >= 0 && a <= s.Histogram().Max()) {
					t.Fatalf("amax by %v is %v (%v)", o, a, err)
				}
			}
		}
	})
}
