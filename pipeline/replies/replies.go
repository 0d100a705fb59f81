// Package replies is what workers know of where the targets' replies come from.
// Package linked gets them from intercepts, package local captures them on this
// host.
package replies

import (
	"errors"
	"sync"

	"github.com/tcpcopy-go/tcpcopy/pipeline/packet"
	"github.com/tcpcopy-go/tcpcopy/ring"
)

// Replies bring a worker what targets answered, and take what it claims. They
// belong to the worker.
type Replies interface {
	// Take gives what has come, about max replies at most of each place where they
	// come from, and returns how many they were. They may be other workers'. A batch
	// is valid during the call.
	Take(max int, give func([]packet.Reply)) int
	// Waiting reports whether something has come that no poller sees.
	Waiting() bool
	// Queued is how many replies wait. Any goroutine may call it.
	Queued() int
	// Claim tells which endpoints came into use and which went out of it. It is
	// called only where sessions have their clients' own addresses.
	Claim(added, removed []packet.Endpoint)
	// Urgent says whether the worker waits for replies, so that they are brought at
	// once instead of several together.
	Urgent(bool)
	// Attach lets p.Wait end when something has come; Detach ends that.
	Attach(p *ring.Poller)
	Detach()
}

// Worker is the worker as those see it that bring it replies. Any goroutine may
// call its methods.
type Worker interface {
	Wake()
	Do(func())
	// Endpoints appends those in use to es. It is to be called within Do.
	Endpoints(es []packet.Endpoint) []packet.Endpoint
}

// Urgency is whether any worker waits for replies.
type Urgency struct {
	tell func(bool)

	mu sync.Mutex
	n  int // workers that wait
}

// NewUrgency makes an urgency that calls tell at each change.
func NewUrgency(tell func(bool)) *Urgency { return &Urgency{tell: tell} }

// Change says that one worker has begun, or has ceased, to wait.
func (u *Urgency) Change(urgent bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	before := u.n > 0
	if urgent {
		u.n++
	} else {
		u.n--
	}
	if after := u.n > 0; after != before {
		u.tell(after)
	}
}

// Urgent reports whether any worker waits.
func (u *Urgency) Urgent() bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.n > 0
}

// ErrOtherWay refuses a reload that would have replies come another way.
var ErrOtherWay = errors.New("intercept: replies come by intercepts or to this host, which does not change without a restart")
