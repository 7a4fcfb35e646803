package llvm

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
)

// maxOutput bounds what a program may print. Weights are not in the object, so
// one of more than some megabytes is a mistake; llc 14 once made 4 GiB of
// padding of a constant array of <8 x i1>.
const maxOutput = 512 << 20

// run starts a program with the given standard input in an environment in which
// it speaks English and knows no other time than 1970.
func run(ctx context.Context, dir string, stdin []byte, path string, args ...string) (stdout []byte, log string, err error) {
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "LC_ALL=C", "SOURCE_DATE_EPOCH=0")
	cmd.Stdin = bytes.NewReader(stdin)
	out, msg := &bounded{max: maxOutput}, &bounded{max: 1 << 20}
	cmd.Stdout, cmd.Stderr = out, msg
	err = cmd.Run()
	switch {
	case ctx.Err() != nil:
		err = ctx.Err()
	case out.over:
		err = fmt.Errorf("its output passed %d MiB", out.max>>20)
	}
	return out.buf.Bytes(), msg.buf.String(), err
}

// bounded is a buffer that refuses more than max bytes. (The buffer is not
// embedded: its ReadFrom would pass the bound by.)
type bounded struct {
	buf  bytes.Buffer
	max  int
	over bool
}

func (b *bounded) Write(p []byte) (int, error) {
	if b.buf.Len()+len(p) > b.max {
		b.over = true
		return 0, fmt.Errorf("more than %d bytes of output", b.max)
	}
	return b.buf.Write(p)
}
