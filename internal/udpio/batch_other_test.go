//go:build !linux

package udpio

// batchSizes returns how many datagrams calls of Receive take: one each.
func batchSizes(sizes ...int) []int {
	total := 0
	for _, size := range sizes {
		total += size
	}
	ones := make([]int, total)
	for i := range ones {
		ones[i] = 1
	}
	return ones
}
