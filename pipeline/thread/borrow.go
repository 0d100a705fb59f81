package thread

import "slices"

// borrowed is a capture whose passes the first thread may do.
type borrowed struct {
	Capture
	returned chan struct{}
}

// A Lender lends a capture to the first thread.
type Lender struct {
	threads *Threads
	capture *borrowed
}

// Lender makes the lender of c. All are made before Run.
func (ts *Threads) Lender(c Capture) *Lender {
	b := &borrowed{c, make(chan struct{}, 1)}
	ts.captures = append(ts.captures, b)
	return &Lender{ts, b}
}

// Lend lets the first thread do the capture's passes and returns when it has given
// the capture back. It returns false at once if that thread does not run all
// workers at present.
func (l *Lender) Lend() (taken bool) {
	first := l.threads.threads[0]
	first.own.Do(func() {
		if l.threads.together.Load() {
			l.capture.Attach(first.poller)
			first.captures = append(first.captures, l.capture)
			taken = true
		}
	})
	if taken {
		<-l.capture.returned
	}
	return taken
}

// Wanted reports whether the first thread would take the capture.
func (l *Lender) Wanted() bool { return l.threads.together.Load() }

// giveBack gives a capture back to who lent it.
func (t *Thread) giveBack(c *borrowed) {
	c.Detach()
	t.captures = slices.DeleteFunc(t.captures, func(o *borrowed) bool { return o == c })
	c.returned <- struct{}{}
}
