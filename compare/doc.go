// Package compare measures how well a compiled model predicts a text, and how far it is from another one: the float model that it was quantized from.
//
// Two models run side by side on windows of the text. Of each scored token both logits are compared and forgotten, so that memory does not depend on the
// length of the text and no file of logits is ever written.
//
// Prefill mode runs a window as a prompt; decode mode one token a step, as generation does. Both must be looked at: kernels differ, and codes in a state
// are only met in decoding.
package compare
