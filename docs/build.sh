#!/usr/bin/env bash
# Builds the book of the pages in docs/ into target/book, or says NOT RUN and why.
set -euo pipefail
cd "$(dirname "$0")/.."

# The version that the book is made with; another one may lay pages out differently.
VERSION=0.5.4

if ! command -v mdbook >/dev/null; then
    echo "NOT RUN: the book: mdbook is missing; cargo install --locked mdbook@$VERSION"
    exit
fi
found=$(mdbook --version)
if [ "${found#mdbook v}" != "$VERSION" ]; then
    echo "NOT RUN: the book: $found is there, and the book is made with v$VERSION"
    exit
fi

# Links out of docs/ lead to files that the book does not have: in it, they lead to the repository.
repository=$(sed -n 's/^repository = "\(.*\)"$/\1/p' Cargo.toml)
book=$(mktemp -d)
trap 'rm -rf "$book"' EXIT
cp -r book.toml docs "$book"
if [ -n "$repository" ]; then
    sed -i "s|](\.\./|]($repository/blob/main/|g; s|^\(\[[^]]*\]: \)\.\./|\1$repository/blob/main/|" "$book"/docs/*.md
fi
mdbook build "$book" --dest-dir "$PWD/target/book"
echo "the book: target/book/index.html"
