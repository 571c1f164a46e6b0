//! The places of a transformer that can be observed, their TransformerLens names and their axes.

use std::fmt;
use std::str::FromStr;

use crate::error::HookError;
use crate::pattern::near_matches;

/// A place in the forward pass, without its layer.
///
/// B batch, T sequence, H query heads, G key/value heads, K head dimension, D model dimension.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Site {
    /// `hook_embed` (B, T, D): the token embeddings before any position is added.
    Embed,
    /// `hook_pos_embed` (B, T, D): what the positional encoding adds to them.
    PosEmbed,
    /// `blocks.L.hook_resid_pre` (B, T, D): the residual stream entering block L.
    ResidPre,
    /// `blocks.L.hook_resid_mid` (B, T, D): the residual stream between attention and MLP.
    ResidMid,
    /// `blocks.L.hook_resid_post` (B, T, D): the residual stream leaving block L.
    ResidPost,
    /// `blocks.L.hook_attn_out` (B, T, D): what attention adds to the residual stream.
    AttnOut,
    /// `blocks.L.hook_mlp_out` (B, T, D): what the MLP adds to the residual stream.
    MlpOut,
    /// `blocks.L.attn.hook_q` (B, T, H, K): the queries before any rotation.
    Q,
    /// `blocks.L.attn.hook_k` (B, T, G, K): the keys before any rotation.
    K,
    /// `blocks.L.attn.hook_v` (B, T, G, K): the values.
    V,
    /// `blocks.L.attn.hook_rot_q` (B, T, H, K): the queries after the encoding rotated them.
    RotQ,
    /// `blocks.L.attn.hook_rot_k` (B, T, G, K): the keys after the encoding rotated them.
    RotK,
    /// `blocks.L.attn.hook_attn_scores_raw` (B, H, Tq, Tk): scaled q·k before bias and mask. Ours: it shows what a bias adds.
    ScoresRaw,
    /// `blocks.L.attn.hook_attn_scores` (B, H, Tq, Tk): the scores after bias and mask (−inf where masked).
    Scores,
    /// `blocks.L.attn.hook_pattern` (B, H, Tq, Tk): the attention map.
    Pattern,
    /// `blocks.L.attn.hook_z` (B, T, H, K): each head's weighted values before the output projection.
    Z,
    /// `blocks.L.attn.hook_result` (B, T, H, D): each head's contribution to the residual stream.
    HeadOut,
    /// `blocks.L.mlp.hook_pre` (B, T, M): the MLP's hidden layer before its activation.
    MlpPre,
    /// `blocks.L.mlp.hook_post` (B, T, M): the MLP's hidden layer after its activation (and gate).
    MlpPost,
    /// `ln_final.hook_normalized` (B, T, D): the output of the final norm.
    LnFinal,
}

/// Which heads an activation has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heads {
    /// No head axis.
    None,
    /// One entry per query head, along this axis.
    Query(usize),
    /// One entry per key/value head, along this axis.
    KeyValue(usize),
}

impl Heads {
    /// The axis, if there is one.
    pub fn axis(self) -> Option<usize> {
        match self {
            Self::None => None,
            Self::Query(axis) | Self::KeyValue(axis) => Some(axis),
        }
    }
}

/// Where batch, rows and heads lie in a site's tensor. The batch is always axis 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Axes {
    /// Number of axes.
    pub rank: usize,
    /// The axis of positions: query rows, or the keys' own positions at K, V and RotK.
    pub rows: usize,
    /// The axis of heads.
    pub heads: Heads,
    /// The axes in words, for messages.
    pub text: &'static str,
}

impl Site {
    /// Every site, in the order of the forward pass.
    pub const ALL: [Self; 20] = [
        Self::Embed,
        Self::PosEmbed,
        Self::ResidPre,
        Self::Q,
        Self::K,
        Self::V,
        Self::RotQ,
        Self::RotK,
        Self::ScoresRaw,
        Self::Scores,
        Self::Pattern,
        Self::Z,
        Self::HeadOut,
        Self::AttnOut,
        Self::ResidMid,
        Self::MlpPre,
        Self::MlpPost,
        Self::MlpOut,
        Self::ResidPost,
        Self::LnFinal,
    ];

    /// The name, without `blocks.L.` where the site lies in a block.
    pub fn name(self) -> &'static str {
        match self {
            Self::Embed => "hook_embed",
            Self::PosEmbed => "hook_pos_embed",
            Self::ResidPre => "hook_resid_pre",
            Self::ResidMid => "hook_resid_mid",
            Self::ResidPost => "hook_resid_post",
            Self::AttnOut => "hook_attn_out",
            Self::MlpOut => "hook_mlp_out",
            Self::Q => "attn.hook_q",
            Self::K => "attn.hook_k",
            Self::V => "attn.hook_v",
            Self::RotQ => "attn.hook_rot_q",
            Self::RotK => "attn.hook_rot_k",
            Self::ScoresRaw => "attn.hook_attn_scores_raw",
            Self::Scores => "attn.hook_attn_scores",
            Self::Pattern => "attn.hook_pattern",
            Self::Z => "attn.hook_z",
            Self::HeadOut => "attn.hook_result",
            Self::MlpPre => "mlp.hook_pre",
            Self::MlpPost => "mlp.hook_post",
            Self::LnFinal => "ln_final.hook_normalized",
        }
    }

    /// Whether every block has this site (the others occur once per model).
    pub fn in_block(self) -> bool {
        !matches!(self, Self::Embed | Self::PosEmbed | Self::LnFinal)
    }

    /// Whether observing this site needs an attention map, which the fused path never builds.
    pub fn is_map(self) -> bool {
        matches!(self, Self::ScoresRaw | Self::Scores | Self::Pattern)
    }

    /// Where batch, rows and heads lie.
    pub fn axes(self) -> Axes {
        let axes = |rank, rows, heads, text| Axes { rank, rows, heads, text };
        match self {
            Self::Q | Self::RotQ | Self::Z => {
                axes(4, 1, Heads::Query(2), "(batch, position, head, head dim)")
            }
            Self::K | Self::V | Self::RotK => {
                axes(4, 1, Heads::KeyValue(2), "(batch, position, key/value head, head dim)")
            }
            Self::HeadOut => axes(4, 1, Heads::Query(2), "(batch, position, head, model dim)"),
            Self::ScoresRaw | Self::Scores | Self::Pattern => {
                axes(4, 2, Heads::Query(1), "(batch, head, query, key)")
            }
            Self::MlpPre | Self::MlpPost => axes(3, 1, Heads::None, "(batch, position, hidden dim)"),
            Self::Embed
            | Self::PosEmbed
            | Self::ResidPre
            | Self::ResidMid
            | Self::ResidPost
            | Self::AttnOut
            | Self::MlpOut
            | Self::LnFinal => axes(3, 1, Heads::None, "(batch, position, model dim)"),
        }
    }

    /// Why a model may lack this site, and what to hook instead.
    pub(crate) fn absent_because(self) -> &'static str {
        match self {
            Self::PosEmbed => {
                "its positional encoding adds nothing to the embeddings; hook hook_embed instead"
            }
            Self::RotQ => "its positional encoding does not rotate queries; hook attn.hook_q instead",
            Self::RotK => "its positional encoding does not rotate keys; hook attn.hook_k instead",
            Self::ResidMid => {
                "attention and MLP run in parallel in its blocks; hook hook_resid_pre or hook_resid_post instead"
            }
            Self::ScoresRaw | Self::Scores => {
                "its attention has more than one map of scores a head; hook attn.hook_pattern instead"
            }
            Self::MlpPre | Self::MlpPost | Self::MlpOut => "its blocks have no MLP of this form",
            Self::LnFinal => "it has no final norm; hook hook_resid_post of the last block instead",
            _ => "its architecture has no such activation",
        }
    }
}

impl fmt::Display for Site {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A site of one block, or of the whole model. Displays and parses as its TransformerLens name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Point {
    /// The block; `None` for a site that occurs once per model.
    pub layer: Option<usize>,
    /// The site.
    pub site: Site,
}

impl Point {
    /// A site of block `layer`.
    pub fn block(site: Site, layer: usize) -> Self {
        debug_assert!(site.in_block(), "{site} lies in no block");
        Self { site, layer: Some(layer) }
    }

    /// A site that occurs once per model.
    pub fn model(site: Site) -> Self {
        debug_assert!(!site.in_block(), "{site} lies in a block");
        Self { site, layer: None }
    }
}

impl fmt::Display for Point {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.layer {
            Some(layer) => write!(f, "blocks.{layer}.{}", self.site.name()),
            None => f.write_str(self.site.name()),
        }
    }
}

impl FromStr for Point {
    type Err = HookError;

    fn from_str(text: &str) -> Result<Self, HookError> {
        let unknown = || HookError::UnknownPoint { name: text.to_owned(), near: near_matches(text) };
        let Some((layer, name)) = text.strip_prefix("blocks.").and_then(|rest| rest.split_once('.')) else {
            return Site::ALL
                .into_iter()
                .find(|site| !site.in_block() && site.name() == text)
                .map(Self::model)
                .ok_or_else(unknown);
        };
        let site =
            Site::ALL.into_iter().find(|site| site.in_block() && site.name() == name).ok_or_else(unknown)?;
        // `parse` alone would take "+3", and a name must have one spelling.
        if layer.is_empty() || !layer.bytes().all(|b| b.is_ascii_digit()) {
            return Err(HookError::BadLayers { name: text.to_owned(), found: layer.to_owned() });
        }
        let layer = layer
            .parse()
            .map_err(|_| HookError::BadLayers { name: text.to_owned(), found: layer.to_owned() })?;
        Ok(Self::block(site, layer))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn every_site_is_listed_once_and_its_name_parses_back() {
        let mut names: Vec<_> = Site::ALL.iter().map(|s| s.name()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), Site::ALL.len());
        for site in Site::ALL {
            let point = if site.in_block() { Point::block(site, 13) } else { Point::model(site) };
            assert_eq!(point.to_string().parse::<Point>().unwrap(), point);
        }
    }

    #[test]
    fn names_are_those_of_transformer_lens() {
        assert_eq!(Point::block(Site::Pattern, 3).to_string(), "blocks.3.attn.hook_pattern");
        assert_eq!(Point::block(Site::ResidPre, 0).to_string(), "blocks.0.hook_resid_pre");
        assert_eq!(Point::block(Site::MlpPre, 7).to_string(), "blocks.7.mlp.hook_pre");
        assert_eq!(Point::model(Site::LnFinal).to_string(), "ln_final.hook_normalized");
    }

    #[test]
    fn an_unknown_name_is_an_error_that_lists_near_names() {
        let error = "blocks.3.attn.hook_patern".parse::<Point>().unwrap_err().to_string();
        assert!(error.contains("`blocks.3.attn.hook_patern`"), "{error}");
        assert!(error.contains("nearest names: blocks.3.attn.hook_pattern"), "{error}");
        // A point without a layer does not exist per block, nor the other way round.
        let error = "blocks.3.hook_embed".parse::<Point>().unwrap_err().to_string();
        assert!(error.contains("hook_embed"), "{error}");
        let error = "attn.hook_pattern".parse::<Point>().unwrap_err().to_string();
        assert!(error.contains("blocks.*.attn.hook_pattern"), "{error}");
        for name in
            ["", "blocks.3", "blocks.+3.hook_resid_pre", "blocks.-1.hook_resid_pre", "blocks..hook_resid_pre"]
        {
            assert!(name.parse::<Point>().is_err(), "{name}");
        }
    }
}
