# Copies this machine's Python, with every library that it needs and the loader of these, to where a verifier finds it:
# independent of the machine that it will run on, but for the processor. Run as root in a container of our base image.
set -euo pipefail
top=/vkit/python so=/vkit/lib/so
python=$(readlink -f "$(command -v python3)") name=${python##*/}
mkdir -p "$top/bin" "$top/lib" "$so"
cp -L "$python" "$top/lib/program"
cp -rL --preserve=timestamps "/usr/lib/$name" "$top/lib/$name" # what is compiled is known by them
rm -f "$top/lib/$name/sitecustomize.py"
{ for file in "$python" "/usr/lib/$name"/lib-dynload/*.so; do ldd "$file"; done | awk '$3 ~ "^/" { print $3 }'
  ldconfig -p | awk '$1 == "libstdc++.so.6" || $1 == "libgcc_s.so.1" { print $NF }'
} | sort -u | while read -r file; do cp -L "$file" "$so/"; done
cp -L "$(ldd "$python" | awk '$1 ~ "/ld-" { print $1 }')" /vkit/lib/loader
cat >"$top/bin/python3" <<'END'
#!/bin/sh
exec /vkit/lib/loader --library-path /vkit/lib/so --argv0 /vkit/python/bin/python3 /vkit/python/lib/program "$@"
END
chmod +x "$top/bin/python3"
for other in python "$name"; do ln -s python3 "$top/bin/$other"; done
"$top/bin/python3" -m compileall -q "$top/lib/python3/dist-packages" || true # a package may carry templates that are no Python
"$top/bin/python3" -c 'import sys, ssl, sqlite3; assert sys.executable == "/vkit/python/bin/python3"'
