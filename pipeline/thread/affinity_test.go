package thread

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/tcpcopy-go/tcpcopy/pipeline/internal/testbed"
)

func TestEachWorkerRunsOnItsCPUOnly(t *testing.T) {
	var all unix.CPUSet
	testbed.Must(t, unix.SchedGetaffinity(0, &all))
	var cpus []int
	for cpu := range 1024 {
		if all.IsSet(cpu) {
			cpus = append([]int{cpu}, cpus...) // not as the kernel would
		}
	}
	ts, doers := newThreads(t, len(cpus)+1, cpus...)
	ts.threads[0].spread()
	start(t, ts)
	for i, d := range doers {
		var list string
		d.Do(func() { list = allowed(t) })
		if want := fmt.Sprint(cpus[i%len(cpus)]); list != want {
			t.Errorf("worker %d may run on %s, want %s", i, list, want)
		}
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
	if err := CanBind([]int{0, 1023}); err == nil || !strings.Contains(err.Error(), "CPU 1023") {
		t.Errorf("error %v", err)
	}
}
