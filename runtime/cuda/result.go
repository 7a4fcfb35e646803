package cuda

import (
	"errors"
	"fmt"
)

// Result is a CUresult: what every function of the driver answers.
type Result uint32

// The results that something depends on.
const (
	Success                   Result = 0
	ErrInvalidValue           Result = 1
	ErrOutOfMemory            Result = 2
	ErrNotInitialized         Result = 3
	ErrStubLibrary            Result = 34
	ErrNoDevice               Result = 100
	ErrInvalidDevice          Result = 101
	ErrInvalidImage           Result = 200
	ErrInvalidContext         Result = 201
	ErrNoBinaryForGPU         Result = 209
	ErrECCUncorrectable       Result = 214
	ErrInvalidPTX             Result = 218
	ErrNVLinkUncorrectable    Result = 220
	ErrJITCompilerNotFound    Result = 221
	ErrUnsupportedPTXVersion  Result = 222
	ErrJITDisabled            Result = 223
	ErrContained              Result = 226
	ErrInvalidHandle          Result = 400
	ErrNotFound               Result = 500
	ErrNotReady               Result = 600
	ErrIllegalAddress         Result = 700
	ErrLaunchOutOfResources   Result = 701
	ErrLaunchTimeout          Result = 702
	ErrContextIsDestroyed     Result = 709
	ErrAssert                 Result = 710
	ErrHardwareStack          Result = 714
	ErrIllegalInstruction     Result = 715
	ErrMisalignedAddress      Result = 716
	ErrInvalidAddressSpace    Result = 717
	ErrInvalidPC              Result = 718
	ErrLaunchFailed           Result = 719
	ErrCooperativeLaunchLarge Result = 720
	ErrSystemNotReady         Result = 802
	ErrDriverMismatch         Result = 803
	ErrCompatNotSupported     Result = 804
	ErrUnknown                Result = 999
)

// lost are the results after which a context is of no use: the manual says of each that "the process must be terminated and relaunched" to continue.
var lost = map[Result]bool{
	ErrECCUncorrectable: true, ErrNVLinkUncorrectable: true, ErrContained: true, ErrIllegalAddress: true, ErrLaunchTimeout: true, ErrContextIsDestroyed: true,
	ErrAssert: true, ErrHardwareStack: true, ErrIllegalInstruction: true, ErrMisalignedAddress: true, ErrInvalidAddressSpace: true, ErrInvalidPC: true,
	ErrLaunchFailed: true, ErrUnknown: true,
}

// Error is a call that the driver refused.
type Error struct {
	Call string // "cuMemAlloc"
	Code Result
	Name string // "CUDA_ERROR_OUT_OF_MEMORY"; empty: the driver does not know the number
	Text string
}

func (e *Error) Error() string {
	if e.Name == "" {
		return fmt.Sprintf("%s: error %d of the CUDA driver", e.Call, e.Code)
	}
	return fmt.Sprintf("%s: %s (%d): %s", e.Call, e.Name, e.Code, e.Text)
}

// Is says whether an error is one of the driver's with this result.
func Is(err error, r Result) bool {
	var e *Error
	return errors.As(err, &e) && e.Code == r
}

// check makes an error of a result.
func (d *Driver) check(call string, r Result) error {
	if r == Success {
		return nil
	}
	e := &Error{Call: call, Code: r}
	var name, text *byte
	if d.GetErrorName(r, &name) == Success && d.GetErrorString(r, &text) == Success {
		e.Name, e.Text = goString(name), goString(text)
	}
	return e
}
