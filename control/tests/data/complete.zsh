# What a real zsh offers for command lines that are being typed: zsh -f complete.zsh FOLDER
# FOLDER has the completion (_pvsadm) and the lines, one each in `typed'; what is offered is written to
# `offered', a heading `> LINE' before each line's. An interactive zsh behind a terminal runs the
# completion system, since there is no other way in.
zmodload zsh/zpty
folder=$1
cat >$folder/inner <<'INNER'
PROMPT= RPROMPT=
fpath=($folder $fpath)
autoload -Uz compinit && compinit -u -D
zstyle ':completion:*' list-grouped no
compadd() {
    # Not offered, but asked for by the completion system itself.
    local -a before=("${@[1,(i)(-|--)]}") found
    if [[ ${before[(r)-[a-zA-Z0-9]#[OAD]]} != '' ]]; then
        builtin compadd "$@"
        return
    fi
    builtin compadd -A found "$@"
    print -rl -- "${(@)found}" >>$folder/offered
    builtin compadd "$@"
}
zle -C offer list-choices _main_complete
zle-line-init() {
    local line
    for line in "${(@f)$(<$folder/typed)}"; do
        print -r -- "> $line" >>$folder/offered
        BUFFER=$line CURSOR=$#line
        zle offer
    done
    exit
}
zle -N zle-line-init
INNER
rm -f $folder/offered
zpty inner "folder=${(q)folder} TERM=dumb zsh -f -i"
zpty -w inner "setopt extendedglob; folder=${(q)folder}; source $folder/inner"
while zpty -r inner said; do :; done
zpty -d inner
