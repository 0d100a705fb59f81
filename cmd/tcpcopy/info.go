package main

func pcapInfo(args []string) int { return 0 }
