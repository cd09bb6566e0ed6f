//! Which characters Go prints as they are: its `strconv.IsPrint`, with the tables of Unicode 15.0.
//!
//! Go has kept that version from 1.21 on (restic 0.16). A newer table would spell a name with a newer character
//! differently from restic, and the tree would get another id.

use unicode_properties::{GeneralCategoryGroup, UnicodeGeneralCategory};

/// True for letters, marks, numbers, punctuation, symbols and the ASCII space.
pub(super) fn is_printable(char: char) -> bool {
    use GeneralCategoryGroup::{Letter, Mark, Number, Punctuation, Symbol};
    match char {
        ' '..='~' => true,
        '\0'..='\u{a0}' => false,
        _ if is_newer(char) => false,
        _ => matches!(char.general_category_group(), Letter | Mark | Number | Punctuation | Symbol),
    }
}

fn is_newer(char: char) -> bool {
    let after = NEWER.partition_point(|&(first, _)| first <= char);
    after.checked_sub(1).and_then(|at| NEWER.get(at)).is_some_and(|&(_, last)| char <= last)
}

/// Ranges without a printable character in Unicode 15.0 that later versions put some into.
const NEWER: &[(char, char)] = &[
    ('\u{558}', '\u{558}'),
    ('\u{58b}', '\u{58c}'),
    ('\u{5c8}', '\u{5c9}'),
    ('\u{88f}', '\u{897}'),
    ('\u{b53}', '\u{b54}'),
    ('\u{c5c}', '\u{c5c}'),
    ('\u{cdc}', '\u{cdc}'),
    ('\u{1acf}', '\u{1af0}'),
    ('\u{1b4e}', '\u{1b4f}'),
    ('\u{1b7f}', '\u{1b7f}'),
    ('\u{1c89}', '\u{1c8a}'),
    ('\u{208f}', '\u{208f}'),
    ('\u{209d}', '\u{209f}'),
    ('\u{20c1}', '\u{20c4}'),
    ('\u{2427}', '\u{2429}'),
    ('\u{2b96}', '\u{2b96}'),
    ('\u{2e60}', '\u{2e63}'),
    ('\u{2ffc}', '\u{2fff}'),
    ('\u{31e4}', '\u{31ef}'),
    ('\u{a7cb}', '\u{a7cf}'),
    ('\u{a7d2}', '\u{a7d2}'),
    ('\u{a7d4}', '\u{a7d4}'),
    ('\u{a7da}', '\u{a7f1}'),
    ('\u{ab6c}', '\u{ab6d}'),
    ('\u{fbc3}', '\u{fbd2}'),
    ('\u{fd90}', '\u{fd91}'),
    ('\u{fdc8}', '\u{fdce}'),
    ('\u{105c0}', '\u{105f3}'),
    ('\u{107bb}', '\u{107bf}'),
    ('\u{10940}', '\u{10959}'),
    ('\u{10d40}', '\u{10d8f}'),
    ('\u{10ec2}', '\u{10efc}'),
    ('\u{11380}', '\u{113e2}'),
    ('\u{116d0}', '\u{116e3}'),
    ('\u{11b0a}', '\u{11bf9}'),
    ('\u{11db0}', '\u{11df1}'),
    ('\u{11f5a}', '\u{11f5a}'),
    ('\u{1246f}', '\u{1246f}'),
    ('\u{12475}', '\u{1247f}'),
    ('\u{12550}', '\u{12686}'),
    ('\u{13460}', '\u{143fa}'),
    ('\u{16100}', '\u{16139}'),
    ('\u{16d40}', '\u{16d79}'),
    ('\u{16ea0}', '\u{16ed3}'),
    ('\u{16ff2}', '\u{16ff6}'),
    ('\u{187f8}', '\u{187ff}'),
    ('\u{18cd6}', '\u{18cff}'),
    ('\u{18d09}', '\u{191d2}'),
    ('\u{1b123}', '\u{1b128}'),
    ('\u{1b168}', '\u{1b168}'),
    ('\u{1cc00}', '\u{1cefd}'),
    ('\u{1d127}', '\u{1d128}'),
    ('\u{1d1eb}', '\u{1d1ff}'),
    ('\u{1d250}', '\u{1d281}'),
    ('\u{1d6a6}', '\u{1d6a6}'),
    ('\u{1db00}', '\u{1db1c}'),
    ('\u{1df1f}', '\u{1df24}'),
    ('\u{1df2b}', '\u{1dfff}'),
    ('\u{1e5d0}', '\u{1e6ff}'),
    ('\u{1f1ae}', '\u{1f1ae}'),
    ('\u{1f6d8}', '\u{1f6d9}'),
    ('\u{1f777}', '\u{1f77a}'),
    ('\u{1f7da}', '\u{1f7db}'),
    ('\u{1f7f1}', '\u{1f7ff}'),
    ('\u{1f8b2}', '\u{1f8d8}'),
    ('\u{1fa54}', '\u{1fa57}'),
    ('\u{1fa89}', '\u{1fa8f}'),
    ('\u{1fabe}', '\u{1fabe}'),
    ('\u{1fac6}', '\u{1facd}'),
    ('\u{1fadc}', '\u{1fadf}'),
    ('\u{1fae9}', '\u{1faef}'),
    ('\u{1faf9}', '\u{1fafa}'),
    ('\u{1fbcb}', '\u{1fbef}'),
    ('\u{1fbfa}', '\u{1fbfa}'),
    ('\u{2b73a}', '\u{2b73f}'),
    ('\u{2b81e}', '\u{2b81e}'),
    ('\u{2cea2}', '\u{2cead}'),
    ('\u{2ebf0}', '\u{2ee5d}'),
    ('\u{323b0}', '\u{3fc3f}'),
];
