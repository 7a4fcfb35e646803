package spmd

import (
	"os"
	"testing"

	"github.com/ssmc/ssmc/internal/goldentest"
)

func TestMain(m *testing.M) {
	goldentest.Parse()
	os.Exit(m.Run())
}
