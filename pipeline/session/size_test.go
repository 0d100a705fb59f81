package session

import (
	"reflect"
	"testing"
	"unsafe"
)

// A million sessions are the size that this program is made for: what a Session
// takes is memory of the host, and pointers in it are work for the collector.
func TestASessionIsSmallAndHoldsNoPointers(t *testing.T) {
	const bound = 416
	if n := unsafe.Sizeof(Session{}); n > bound {
		t.Errorf("%d bytes, %d are allowed", n, bound)
	}
	var look func(path string, typ reflect.Type)
	look = func(path string, typ reflect.Type) {
		switch typ.Kind() {
		case reflect.Struct:
			for i := range typ.NumField() {
				look(path+"."+typ.Field(i).Name, typ.Field(i).Type)
			}
		case reflect.Array:
			look(path, typ.Elem())
		case reflect.Pointer, reflect.Slice, reflect.String, reflect.Map, reflect.Chan, reflect.Func, reflect.Interface, reflect.UnsafePointer:
			t.Errorf("%s is a %v", path, typ)
		}
	}
	look("Session", reflect.TypeFor[Session]())
}
