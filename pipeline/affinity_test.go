package pipeline

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/tcpcopy-go/tcpcopy/conf"
)

func TestEachWorkerRunsOnItsCPUOnly(t *testing.T) {
	var all unix.CPUSet
	must(t, unix.SchedGetaffinity(0, &all))
	var cpus []int
	for cpu := range 1024 {
		if all.IsSet(cpu) {
			cpus = append([]int{cpu}, cpus...) // not as the kernel would
		}
	}
	p := newPipeline(t, len(cpus)+1, func(c *conf.Tcpcopy) { c.CPUs = cpus })
	done := make(chan struct{})
	p.workers[0].own.spread()
	for _, w := range p.workers {
		go w.own.run(done)
	}
	for i, w := range p.workers {
		var list string
		w.do(func() { list = allowed(t) })
		if want := fmt.Sprint(cpus[i%len(cpus)]); list != want {
			t.Errorf("worker %d may run on %s, want %s", i, list, want)
		}
	}
	close(done)
	for _, w := range p.workers {
		w.wake()
		<-w.ended
	}
}

// allowed is the list of CPUs on which the calling thread may run.
func allowed(t *testing.T) string {
	text, err := os.ReadFile("/proc/thread-self/status")
	if err != nil {
		t.Error(err)
	}
	_, list, _ := strings.Cut(string(text), "Cpus_allowed_list:")
	list, _, _ = strings.Cut(list, "\n")
	return strings.TrimSpace(list)
}

func TestACPUThatIsNotThereIsToldAtTheStart(t *testing.T) {
	if err := canBind([]int{0, 1023}); err == nil || !strings.Contains(err.Error(), "CPU 1023") {
		t.Errorf("error %v", err)
	}
}
