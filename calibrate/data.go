package calibrate

import (
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/ssmc/ssmc/runtime"
	"github.com/ssmc/ssmc/tokenizer"
)

// Data is what a model is run on: windows of token ids.
type Data struct {
	Windows [][]int32
	Length  int  // of the longest
	Carry   bool // each window goes on where the one before it ended
	Tokens  int  // of the whole text
}

// textLimit is how much of a text is read: at 4 bytes a token 60 times the 262,144 tokens of a usual calibration.
const textLimit = 64 << 20

// ReadText cuts a text file into windows; tok makes its tokens. See Cut. Of a text above 64 MiB the first part is taken.
func ReadText(path string, tok *tokenizer.Tokenizer, samples, length int, carry bool) (*Data, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, textLimit))
	if err != nil {
		return nil, err
	}
	ids, err := tok.Encode(string(text), false)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	d, err := Cut(ids, samples, length, carry)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return d, nil
}

// ReadIDs reads input_ids from a safetensors file, or the array of a .npy file: a batch of rows is one window each, one row is cut as a text is.
func ReadIDs(path string, samples, length int, carry bool) (*Data, error) {
	p, err := runtime.ReadPrompts(path)
	if err != nil {
		return nil, err
	}
	if !p.Batch {
		d, err := Cut(p.Rows[0], samples, length, carry)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		return d, nil
	}
	d := &Data{Windows: p.Rows[:min(len(p.Rows), samples)], Carry: carry}
	for i, w := range d.Windows {
		d.Windows[i] = w[:min(len(w), length)]
		d.Length = max(d.Length, len(d.Windows[i]))
		d.Tokens += len(w)
	}
	return d, nil
}

// IsIDs says whether a file is one of token ids, by its name.
func IsIDs(path string) bool {
	ext := filepath.Ext(path)
	return ext == ".safetensors" || ext == ".npy"
}

// Cut takes samples windows of length tokens, spread evenly over ids from the first to the last token, or with carry one behind the other. They do not
// overlap: a text that is too short for so many gives fewer, and one that is shorter than a window is a window of its own.
func Cut(ids []int32, samples, length int, carry bool) (*Data, error) {
	if samples < 1 || length < 1 {
		return nil, fmt.Errorf("%d samples of %d tokens: both must be 1 or more", samples, length)
	}
	if len(ids) == 0 {
		return nil, fmt.Errorf("there is no token in it")
	}
	length = min(length, len(ids))
	samples = min(samples, len(ids)/length)
	d := &Data{Length: length, Carry: carry, Tokens: len(ids)}
	for i := range samples {
		at := i * length
		if !carry && samples > 1 {
			at = int(int64(i) * int64(max(len(ids)-length-1, 0)) / int64(samples-1))
			at = max(at, i*length) // where the windows leave nothing between them
		}
		d.Windows = append(d.Windows, ids[at:at+length])
	}
	return d, nil
}
