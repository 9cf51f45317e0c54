#!/usr/bin/env bash
# Builds kube-apiserver, kube-scheduler and kube-controller-manager from Debian's source package.
#
# usage: build_from_debian.sh FOLDER      -> FOLDER/bin (248 MB); FOLDER/work (2.7 GB) is removed at the end
#
# Needs root, Debian's package archive, and 5 to 15 minutes on 2 cores. The packages that it compiles
# with (golang-1.19-go rsync make jq) are installed by the caller.
set -euo pipefail
version=1.20.2
folder=$(realpath -m "${1:?the folder to build in}")
work=$folder/work
rm -rf "$work"
mkdir -p "$work"/{apt/lists/partial,apt/cache/archives/partial,home}
cd "$work"

# The machine's own Debian sources, asked for source packages too; its apt set-up stays as it is.
for sources in /etc/apt/sources.list.d/debian.sources /etc/apt/sources.list; do
    [ -e "$sources" ] && break
done
case $sources in
*.sources) list=$work/apt/our.sources && sed 's/^Types:.*/Types: deb deb-src/' "$sources" >"$list" ;;
*) list=$work/apt/our.list && sed -n '/^deb /{p;s/^deb /deb-src /;p}' "$sources" >"$list" ;;
esac
apt=(apt-get -o "Dir::Etc::sourcelist=$list" -o Dir::Etc::sourceparts=/dev/null
    -o "Dir::State::lists=$work/apt/lists" -o "Dir::Cache=$work/apt/cache"
    -o APT::Sandbox::User=root)
"${apt[@]}" update
"${apt[@]}" source --download-only kubernetes
# reflect2 1.0.1, which the source carries, panics on every create when Go is newer than 1.17.
"${apt[@]}" download golang-github-modern-go-reflect2-dev
tar xzf kubernetes_*.orig.tar.gz
dpkg-deb -x golang-github-modern-go-reflect2-dev*.deb reflect2
source=$work/kubernetes-$version
vendored=$source/vendor/github.com/modern-go/reflect2
rm -f "$vendored"/*.go "$vendored"/*.s
cp reflect2/usr/share/gocode/src/github.com/modern-go/reflect2/{*.go,*.s} "$vendored"/
rm -f "$vendored"/*_test.go

cd "$source"
export PATH=/usr/lib/go-1.19/bin:$PATH GOPROXY=off GOSUMDB=off CGO_ENABLED=0
export GOFLAGS=${GOFLAGS:-} HOME=$work/home GOPATH=$source/.go KUBE_GIT_VERSION_FILE=$work/gitversion
printf "KUBE_GIT_%s='%s'\n" COMMIT debian TREE_STATE archive VERSION "v$version" MAJOR 1 MINOR 20 \
    >"$KUBE_GIT_VERSION_FILE"
mkdir -p .go/src/k8s.io
ln -s ../../.. .go/src/k8s.io/kubernetes
make WHAT="cmd/kube-apiserver cmd/kube-scheduler cmd/kube-controller-manager"

# The folder bin appears whole or not at all, so that its presence means that the build is done.
rm -rf "$folder/bin" "$folder/bin.new"
mkdir "$folder/bin.new"
cp _output/bin/kube-{apiserver,scheduler,controller-manager} "$folder/bin.new"/
mv "$folder/bin.new" "$folder/bin"
cd "$folder"
chmod -R u+w "$work"
rm -rf "$work"
