package filter_test

import (
	"fmt"
	"log"

	"github.com/tcpcopy-go/tcpcopy/ring/filter"
)

// syn is a SYN from 192.0.2.1 port 40000 to 10.0.0.1 port 80.
var syn = []byte{
	0x45, 0, 0, 40, 0, 0, 0, 0, 64, 6, 0, 0, 192, 0, 2, 1, 10, 0, 0, 1,
	0x9c, 0x40, 0, 80, 0, 0, 0, 1, 0, 0, 0, 0, 0x50, 2, 0xff, 0xff, 0, 0, 0, 0,
}

func ExampleCompile() {
	f, err := filter.Compile("tcp dst port 80 and not src net 10.0.0.0/8")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(f.Match(syn))

	_, err = filter.Compile("tcp and dst prt 80")
	fmt.Println(err)
	// Output:
	// true
	// filter: column 13, "prt": an address must come here; names are not looked up
}

// Filters of different origin, a fixed one and a user's, become one program.
func ExampleAnd() {
	service, err := filter.Compile("tcp dst port 80")
	if err != nil {
		log.Fatal(err)
	}
	user, err := filter.Compile("host 192.0.2.7")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(filter.And(service, user).Match(syn), filter.And(service, filter.Not(user)).Match(syn))
	// Output: false true
}

// The program for a packet socket of any link layer. Its result is how much of
// a packet is kept: here 128 bytes, which are the headers.
func ExampleFilter_Kernel() {
	f, err := filter.Compile("tcp port 80")
	if err != nil {
		log.Fatal(err)
	}
	program, err := f.Kernel(128)
	if err != nil {
		log.Fatal(err)
	}
	last := program[len(program)-1]
	fmt.Println(len(program) > 1, last.K == 128 || last.K == 0)
	// Output: true true
}
