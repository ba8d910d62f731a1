// What of third parties the download page needs, as one module: scripts/setup bundles it into static/vendor.
export { Decrypter, identityToRecipient } from "age-encryption";
export { Decompress } from "fzstd";
