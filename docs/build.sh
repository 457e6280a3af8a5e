#!/usr/bin/env bash
# Builds the book of the pages in docs/ into target/book and follows its links, or says NOT RUN and why.
set -euo pipefail
cd "$(dirname "$0")/.."
root=$PWD

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
repository=$(sed -n 's/^repository = "\(.*\)"$/\1/p' Cargo.toml)/blob/main
book=$(mktemp -d)
trap 'rm -rf "$book"' EXIT
mkdir "$book/docs"
cp book.toml "$book"
cp docs/*.md "$book/docs"
sed -i "s|](\.\./|]($repository/|g; s|^\(\[[^]]*\]: \)\.\./|\1$repository/|" "$book"/docs/*.md
mdbook build "$book" --dest-dir "$root/target/book"

# is_there PAGE LINK: whether the page, the heading or the file of the repository exists to which a link leads.
is_there() {
    local file=${2%%#*} anchor=
    case $2 in
    "$repository"/*) [ -e "$root/${file#"$repository"/}" ] && return 0 ;;
    *://* | mailto:*) return 0 ;;
    *)
        case $2 in *'#'*) anchor=${2#*#} ;; esac
        [ -e "${file:-$1}" ] && { [ -z "$anchor" ] || grep -qF "id=\"$anchor\"" "${file:-$1}"; } && return 0
        ;;
    esac
    return 1
}

# The page to print has all the others in one, with links of its own.
cd target/book
count=0 missing=0
for page in *.html; do
    if [ "$page" = print.html ]; then continue; fi
    while IFS= read -r link; do
        count=$((count + 1))
        is_there "$page" "$link" || { echo "error: $page links to $link" >&2 && missing=$((missing + 1)); }
    done < <(grep -oE 'href="[^"]+"' "$page" | sed 's/^href="//; s/"$//' | sort -u)
done
[ "$count" -gt 500 ] || { echo "error: the book has only $count links" >&2 && exit 1; }
[ "$missing" = 0 ] || { echo "error: $missing of $count links lead nowhere" >&2 && exit 1; }
echo "the book: target/book/index.html; $count links lead somewhere"
