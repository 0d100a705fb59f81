package conf

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// maxCPU is above the CPUs of any Linux (CONFIG_NR_CPUS), and of
// sched_setaffinity(2) as x/sys/unix has it.
const maxCPU = 1023

// cpuList is CPUs in the kernel's notation of lists, in their order: 2-5,8.
func cpuList(p *[]int) value {
	return scalar[[]int]{p: p, parse: parseCPUs, print: printCPUs}
}

func parseCPUs(s string) (cpus []int, err error) {
	if s == "" {
		return nil, nil
	}
	for item := range strings.SplitSeq(s, ",") {
		first, last, isRange := strings.Cut(item, "-")
		if !isRange {
			last = first
		}
		lo, errLo := strconv.ParseUint(first, 10, 16)
		hi, errHi := strconv.ParseUint(last, 10, 16)
		if errLo != nil || errHi != nil || lo > hi || hi > maxCPU {
			return nil, fmt.Errorf("%q is not a list of CPUs such as 2-5,8, each up to %d", s, maxCPU)
		}
		for cpu := int(lo); cpu <= int(hi); cpu++ {
			if slices.Contains(cpus, cpu) {
				return nil, fmt.Errorf("CPU %d is twice in %q; leave one out", cpu, s)
			}
			cpus = append(cpus, cpu)
		}
	}
	return cpus, nil
}

// printCPUs writes what parseCPUs reads, runs as ranges.
func printCPUs(cpus []int) string {
	var b strings.Builder
	for i := 0; i < len(cpus); {
		k := i
		for k+1 < len(cpus) && cpus[k+1] == cpus[k]+1 {
			k++
		}
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprint(&b, cpus[i])
		if k > i {
			fmt.Fprintf(&b, "-%d", cpus[k])
		}
		i = k + 1
	}
	return b.String()
}
