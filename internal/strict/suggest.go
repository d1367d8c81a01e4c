package strict

import "strings"

// Suggest returns the known word that word was probably meant to be, or "" where
// none is near enough: one slip in a short word, a third of a long one.
func Suggest(word string, known []string) string {
	const longest = 40
	if word == "" || len(word) > longest {
		return ""
	}
	best, least := "", 0
	for _, candidate := range known {
		distance := slips([]rune(strings.ToLower(word)), []rune(strings.ToLower(candidate)))
		if distance <= max(1, len(word)/3) && distance < len(candidate) && (best == "" || distance < least) {
			best, least = candidate, distance
		}
	}
	return best
}

// slips counts the letters to insert, remove, replace or swap with their neighbour
// that make a into b: the optimal string alignment distance.
func slips(a, b []rune) int {
	older, old, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range old {
		old[j] = j
	}
	for i := range a {
		row[0] = i + 1
		for j := range b {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			row[j+1] = min(old[j+1]+1, row[j]+1, old[j]+cost)
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				row[j+1] = min(row[j+1], older[j-1]+1)
			}
		}
		older, old, row = old, row, older
	}
	return old[len(b)]
}
