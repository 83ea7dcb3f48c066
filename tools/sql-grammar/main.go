// Parses SQL statements with CockroachDB's published grammar. Reads a JSON array of {"name", "sql"} from standard input and
// writes a JSON array of {"name", "why"}: the statements it does not take.
package main

import (
	"encoding/json"
	"fmt"
	"os"

	"github.com/cockroachdb/cockroachdb-parser/pkg/sql/parser"
)

type statement struct {
	Name string `json:"name"`
	SQL  string `json:"sql"`
}

type refusal struct {
	Name string `json:"name"`
	Why  string `json:"why"`
}

func main() {
	var statements []statement
	if err := json.NewDecoder(os.Stdin).Decode(&statements); err != nil {
		fmt.Fprintln(os.Stderr, "standard input is no list of statements:", err)
		os.Exit(2)
	}
	refused := []refusal{}
	for _, each := range statements {
		if _, err := parser.ParseOne(each.SQL); err != nil {
			refused = append(refused, refusal{each.Name, err.Error()})
		}
	}
	if err := json.NewEncoder(os.Stdout).Encode(refused); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
}
