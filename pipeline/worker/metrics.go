package worker

import (
	"strconv"

	"github.com/tcpcopy-go/tcpcopy/pipeline/account"
)

var descQueued = account.Desc("replies_queued", "Packets of targets in the queues to a worker.", "worker")

// Collect gives how many replies wait for each worker.
func Collect(m account.Metrics, all []*Worker) {
	for i, w := range all {
		m.Gauge(descQueued, float64(w.replies.Queued()+w.handover.queued()), strconv.Itoa(i))
	}
}
