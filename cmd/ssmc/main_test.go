package main

import (
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/ssmc/ssmc/loader"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"ssmc": main})
}

// TestScript runs testdata/script: one file for each thing that a user sees. $MODELS is where the reference models lie. Beside the commands of testscript there are
//
//	status N ssmc ...       runs ssmc and wants the exit code N
//	addtensor DIR NAME      puts a tensor into a checkpoint's model.safetensors
//	ids FILE ID...          writes token ids, as .safetensors or .npy
//	flip FILE OFFSET        turns a bit; a negative offset counts from the end
//	cut FILE N              removes the last N bytes
func TestScript(t *testing.T) {
	models, err := filepath.Abs("../../golden/testdata")
	if err != nil {
		t.Fatal(err)
	}
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		Setup: func(e *testscript.Env) error {
			e.Setenv("MODELS", models)
			for _, name := range []string{"SSMC_LLC", "SSMC_LD", "SSMC_CHECK"} {
				e.Setenv(name, os.Getenv(name))
			}
			return nil
		},
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){
			"status": status, "addtensor": addTensor, "ids": writeIDs, "flip": flip, "cut": cutFile,
		},
	})
}

func status(ts *testscript.TestScript, _ bool, args []string) {
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := 0
	if err := ts.Exec(args[1], args[2:]...); err != nil {
		exit, ok := err.(interface{ ExitCode() int })
		if !ok {
			ts.Fatalf("%v", err)
		}
		got = exit.ExitCode()
	}
	if got != want {
		ts.Fatalf("exit code %d, want %d", got, want)
	}
}

func addTensor(ts *testscript.TestScript, _ bool, args []string) {
	path := filepath.Join(ts.MkAbs(args[0]), "model.safetensors")
	f, err := loader.OpenFile(path)
	ts.Check(err)
	defer f.Close()
	list := append(f.Tensors(), loader.Tensor{Name: args[1], DType: loader.F32, Shape: []int{2}, Data: make([]byte, 8)})
	ts.Check(loader.Write(path, list, f.Metadata))
}

func writeIDs(ts *testscript.TestScript, _ bool, args []string) {
	var data []byte
	for _, word := range args[1:] {
		id, err := strconv.Atoi(word)
		ts.Check(err)
		data = binary.LittleEndian.AppendUint64(data, uint64(id))
	}
	n, path := len(args)-1, ts.MkAbs(args[0])
	if filepath.Ext(path) != ".npy" {
		ts.Check(loader.Write(path, []loader.Tensor{{Name: "input_ids", DType: loader.I64, Shape: []int{n}, Data: data}}, nil))
		return
	}
	head := fmt.Sprintf("{'descr': '<i8', 'fortran_order': False, 'shape': (%d,), }", n)
	head += strings.Repeat(" ", 127-10-len(head)) + "\n"
	file := append([]byte("\x93NUMPY\x01\x00"), byte(len(head)), 0)
	ts.Check(os.WriteFile(path, append(append(file, head...), data...), 0o666))
}

func flip(ts *testscript.TestScript, _ bool, args []string) {
	at, err := strconv.Atoi(args[1])
	ts.Check(err)
	data, err := os.ReadFile(ts.MkAbs(args[0]))
	ts.Check(err)
	if at < 0 {
		at += len(data)
	}
	data[at] ^= 1
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), data, 0o666))
}

func cutFile(ts *testscript.TestScript, _ bool, args []string) {
	n, err := strconv.Atoi(args[1])
	ts.Check(err)
	info, err := os.Stat(ts.MkAbs(args[0]))
	ts.Check(err)
	ts.Check(os.Truncate(ts.MkAbs(args[0]), info.Size()-int64(n)))
}
