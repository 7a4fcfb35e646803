package runtime

// Flush makes Open place memory so that the first byte beyond an area faults.
func Flush(o Options) Options {
	o.flush = true
	return o
}
