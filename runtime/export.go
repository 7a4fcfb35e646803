package runtime

import (
	"fmt"

	"github.com/ssmc/ssmc/artifact"
	"github.com/ssmc/ssmc/loader"
)

// Tensors gives the slot's state as tensors in the layout that the literature has, whatever order the code keeps them in: state.i.conv [C, K-1], the
// inputs of the convolution that the next token will see, oldest first, and state.i.recurrent. States that hold codes are left out: nobody else has them.
func (s *Slot) Tensors() ([]loader.Tensor, error) {
	var list []loader.Tensor
	err := s.use(func() error {
		state, err := s.read()
		if err != nil {
			return err
		}
		for _, st := range s.model.Manifest.States {
			if st.Codes() {
				continue
			}
			t, err := exportState(st, state)
			if err != nil {
				return err
			}
			list = append(list, t)
		}
		return nil
	})
	return list, err
}

// exportState collects the elements of one state from a slot. The manifest has been checked: all of them lie inside.
func exportState(st artifact.State, slot []byte) (loader.Tensor, error) {
	dtype, err := loader.ParseDType(st.DType)
	if err != nil {
		return loader.Tensor{}, fmt.Errorf("state %q: %w", st.Name, err)
	}
	size := dtype.Size()
	t := loader.Tensor{Name: st.Name, DType: dtype, Shape: append([]int{}, st.Shape...)}
	n := t.Elements()
	t.Data = make([]byte, n*size)
	k := int64(st.Shape[len(st.Shape)-1])
	for i := range int64(n) {
		from := st.Offset + st.Place(i/k, i%k)*int64(size)
		copy(t.Data[i*int64(size):(i+1)*int64(size)], slot[from:])
	}
	return t, nil
}
