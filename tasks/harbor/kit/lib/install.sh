# Stands in for uv's installer: its programs and its `env`, whatever was there under these names.
mkdir -p "$HOME/.local/bin"
for name in uv uvx; do
    rm -rf "$HOME/.local/bin/$name"
    ln -s "/vkit/bin/$name" "$HOME/.local/bin/$name"
done
rm -rf "$HOME/.local/bin/env"
echo 'export PATH=/vkit/bin:$HOME/.local/bin:$PATH' >"$HOME/.local/bin/env"
