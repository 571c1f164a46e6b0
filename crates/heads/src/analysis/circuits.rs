//! What the weights alone say of a head (Elhage et al. 2021).
//!
//! ```text
//! W_QK = W_Qᵀ·W_K   (D, D)   score of a query and a key: x_qᵀ·W_QK·x_k
//! W_OV = W_O·W_V    (D, D)   what a token that is attended to adds to the stream: W_OV·x
//! ```
//! Both have rank K, and everything here is computed from K×K products: ‖AᵀB‖² = tr(AAᵀ·BBᵀ), the singular values of AᵀB
//! are the roots of the eigenvalues of Lᵀ·BBᵀ·L, LLᵀ = AAᵀ, and the eigenvalues of AB those of BA. Under grouped-query
//! attention W_K and W_V are those of the head's group.
//!
//! Left out: biases, rotations of queries and keys (W_QK is what RoPE compares at distance 0), a norm of queries and
//! keys, the scale of norms.

use attnlab_hooks::Select;
use attnlab_model::Transformer;
use candle_core::{DType, Device, Tensor};
use rayon::prelude::*;
use serde::Serialize;

use super::eigen::{cholesky, eigenvalues, symmetric_eigenvalues};
use super::error::{AnalysisError, Result};
use super::input::check_vocabulary;
use super::numbers::{exact, on_host};

/// The factors of a head's circuits, in f64 on the CPU.
#[derive(Clone, Debug)]
pub struct Circuit {
    /// (K, D).
    pub q: Tensor,
    /// (K, D).
    pub k: Tensor,
    /// (K, D).
    pub v: Tensor,
    /// (D, K).
    pub o: Tensor,
}

impl Circuit {
    /// Those of a head. `fold_norms` makes the norm's weight part of W_Q, W_K and W_V, so that they read the stream
    /// itself: W·diag(w), its rows centred if the norm centres; and of W_O where a norm follows.
    pub fn of(model: &Transformer, layer: usize, head: usize, fold_norms: bool) -> Result<Self> {
        let weights = model.head_weights(layer, head)?;
        let (before, after) = match fold_norms {
            true => (model.attention_norm(layer)?, model.norm_after_attention(layer)?),
            false => (None, None),
        };
        let reads = |weight: &Tensor| folded(&on_host(weight)?, before);
        let mut o = on_host(&weights.o)?;
        if let Some((weight, centred)) = after {
            if centred {
                o = o.broadcast_sub(&o.mean_keepdim(0)?)?;
            }
            o = o.broadcast_mul(&on_host(weight)?.unsqueeze(1)?)?;
        }
        Ok(Self { q: reads(&weights.q)?, k: reads(&weights.k)?, v: reads(&weights.v)?, o })
    }

    /// W_QK, (D, D).
    pub fn qk(&self) -> Result<Tensor> {
        Ok(self.q.t()?.matmul(&self.k)?)
    }

    /// W_OV, (D, D).
    pub fn ov(&self) -> Result<Tensor> {
        Ok(self.o.matmul(&self.v)?)
    }
}

/// W·diag(w), rows centred if the norm centres.
fn folded(weight: &Tensor, norm: Option<(&Tensor, bool)>) -> Result<Tensor> {
    let Some((scale, centred)) = norm else { return Ok(weight.clone()) };
    let weight = weight.broadcast_mul(&on_host(scale)?)?;
    Ok(if centred { weight.broadcast_sub(&weight.mean_keepdim(1)?)? } else { weight })
}

/// What to compute of the circuits, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CircuitOptions {
    /// The layers.
    pub layers: Select,
    /// The heads of each.
    pub heads: Select,
    /// Make the norms' weights part of the matrices.
    pub fold_norms: bool,
    /// Also the copying score through embedding and head: one product of V·D² multiply-adds, and D² numbers.
    pub vocabulary: bool,
    /// How many singular values of each matrix.
    pub top: usize,
    /// Threads. No result depends on them.
    pub threads: usize,
}

impl Default for CircuitOptions {
    /// All heads with folded norms, four singular values, no vocabulary, on one thread.
    fn default() -> Self {
        let (layers, heads) = (Select::All, Select::All);
        Self { layers, heads, fold_norms: true, vocabulary: false, top: 4, threads: 1 }
    }
}

/// Numbers of a head's circuits.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct HeadCircuit {
    /// The block.
    pub layer: usize,
    /// The query head.
    pub head: usize,
    /// ‖W_QK‖, Frobenius.
    pub qk_norm: f64,
    /// ‖W_OV‖, Frobenius.
    pub ov_norm: f64,
    /// The largest singular values of W_QK, largest first.
    pub qk_singular: Vec<f64>,
    /// The largest singular values of W_OV, largest first.
    pub ov_singular: Vec<f64>,
    /// Σλ/Σ|λ| of W_QK's eigenvalues: towards 1 if a query looks for what is like itself.
    pub qk_matching: f64,
    /// Σλ/Σ|λ| of W_OV's eigenvalues: towards 1 if the head passes on what it reads, −1 if it erases it.
    pub ov_copying: f64,
    /// Σλ/Σ|λ| of W_U·W_OV·W_E: towards 1 if seeing a token makes it more likely to be predicted.
    pub vocabulary_copying: Option<f64>,
}

/// The circuits of heads, by layer and head.
///
/// The vocabulary's score is refused for a model whose head does not predict tokens, or reads anything but the stream
/// that the embeddings are in.
pub fn head_circuits(model: &Transformer, options: &CircuitOptions) -> Result<Vec<HeadCircuit>> {
    let a = &model.config().architecture;
    let vocabulary =
        if options.vocabulary { Some(vocabulary_product(model, options.fold_norms)?) } else { None };
    let (layers, heads) = (options.layers.indices(a.n_layers), options.heads.indices(a.n_heads));
    let places: Vec<_> = layers.iter().flat_map(|&l| heads.iter().map(move |&h| (l, h))).collect();
    let one = |&(layer, head): &(usize, usize)| -> Result<HeadCircuit> {
        let circuit = Circuit::of(model, layer, head, options.fold_norms)?;
        let n = circuit.q.dim(0)?;
        let (q, k, v) = (rows_gram(&circuit.q)?, rows_gram(&circuit.k)?, rows_gram(&circuit.v)?);
        let o = rows_gram(&circuit.o.t()?)?;
        let qk = exact(&circuit.k.matmul(&circuit.q.t()?)?)?;
        let ov = exact(&circuit.v.matmul(&circuit.o)?)?;
        let words = match &vocabulary {
            Some(product) => Some(sign_share(exact(&circuit.v.matmul(product)?.matmul(&circuit.o)?)?, n)?),
            None => None,
        };
        Ok(HeadCircuit {
            layer,
            head,
            qk_norm: inner(&q, &k).max(0.0).sqrt(),
            ov_norm: inner(&o, &v).max(0.0).sqrt(),
            qk_singular: singular_values(&q, &k, n, options.top)?,
            ov_singular: singular_values(&o, &v, n, options.top)?,
            qk_matching: sign_share(qk, n)?,
            ov_copying: sign_share(ov, n)?,
            vocabulary_copying: words,
        })
    };
    threads(options.threads)?.install(|| places.par_iter().map(one).collect())
}

fn threads(count: usize) -> Result<rayon::ThreadPool> {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(count.clamp(1, 1024)).build();
    pool.map_err(|error| AnalysisError::Threads { count, why: error.to_string() })
}

/// A·Aᵀ of A (n, D), n × n.
fn rows_gram(a: &Tensor) -> Result<Vec<f64>> {
    exact(&a.matmul(&a.t()?)?)
}

/// tr(A·B) of symmetric matrices.
fn inner(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// The largest singular values of XᵀY given XXᵀ and YYᵀ.
fn singular_values(x: &[f64], y: &[f64], n: usize, top: usize) -> Result<Vec<f64>> {
    let square = |values: Vec<f64>| Tensor::from_vec(values, (n, n), &Device::Cpu);
    let l = square(cholesky(x, n))?;
    let product = l.t()?.contiguous()?.matmul(&square(y.to_vec())?)?.matmul(&l)?;
    let squares = symmetric_eigenvalues(exact(&product)?, n)?;
    Ok(squares.into_iter().take(top).map(|square| square.max(0.0).sqrt()).collect())
}

/// Σλ/Σ|λ|; 0 if there is nothing but zeros.
fn sign_share(matrix: Vec<f64>, n: usize) -> Result<f64> {
    let trace: f64 = (0..n).map(|i| matrix[i * n + i]).sum();
    let size: f64 = eigenvalues(matrix, n)?.into_iter().map(|value| value.abs()).sum();
    Ok(if size == 0.0 { 0.0 } else { trace / size })
}

/// W_Eᵀ·W_U, (D, D): then the nonzero eigenvalues of W_U·W_O·W_V·W_Eᵀ are those of W_V·(W_Eᵀ·W_U)·W_O. The embedding's
/// and the logits' factors change no share.
fn vocabulary_product(model: &Transformer, fold_norms: bool) -> Result<Tensor> {
    const ROWS: usize = 4096;
    const WHAT: &str = "the vocabulary's copying score";
    let config = model.config();
    check_vocabulary(WHAT, config)?;
    if config.details.factorised.is_some() || config.details.head_transform.is_some() {
        let why = "its embeddings or its head do not read the stream itself; leave out the vocabulary";
        return Err(AnalysisError::Architecture { what: WHAT, why });
    }
    let (embedding, (head, _)) = (model.embeddings(), model.unembedding()?);
    let (vocabulary, width) = embedding.dims2()?;
    let mut sum = Tensor::zeros((width, width), DType::F64, &Device::Cpu)?;
    for start in (0..vocabulary).step_by(ROWS) {
        let len = ROWS.min(vocabulary - start);
        let part = |weight: &Tensor| on_host(&weight.narrow(0, start, len)?);
        sum = (sum + part(embedding)?.t()?.matmul(&part(head)?)?)?;
    }
    folded(&sum, if fold_norms { model.final_norm() } else { None })
}

/// Through which of its inputs a head reads another's output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Through {
    /// Its queries: ‖W_QKᵀ·W_OV‖.
    Q,
    /// Its keys: ‖W_QK·W_OV‖.
    K,
    /// Its values: ‖W_OV·W_OV‖.
    V,
}

/// How much of what one head writes another reads.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Composition {
    /// Block and head of the one that writes.
    pub from: (usize, usize),
    /// Block and head of the one that reads, in a later block.
    pub to: (usize, usize),
    /// What it reads it with.
    pub through: Through,
    /// ‖B·A‖/(‖B‖·‖A‖), Frobenius; less the baseline if that was asked for.
    pub score: f64,
}

/// The composition of all pairs of heads of different blocks.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Compositions {
    /// 1/√D: the root of the mean square of the score after a random rotation of the stream between the two heads,
    /// whatever their matrices are.
    pub baseline: f64,
    /// Whether it is subtracted.
    pub subtracted: bool,
    /// Highest score first; equals by the later head, then the earlier.
    pub scores: Vec<Composition>,
}

/// Composition scores of every pair of heads in different blocks, through queries, keys and values (Elhage et al. 2021).
///
/// Three products of K²·D a pair, in the model's type; two blocks' weights are held at a time.
pub fn compositions(model: &Transformer, fold_norms: bool, subtract_baseline: bool) -> Result<Compositions> {
    let a = &model.config().architecture;
    let (n_layers, n_heads, width) = (a.n_layers, a.n_heads, a.head_width());
    let dtype = if model.dtype() == DType::F64 { DType::F64 } else { DType::F32 };
    let baseline = (a.d_model as f64).sqrt().recip();
    let mut scores = Vec::with_capacity(3 * n_layers * n_layers / 2 * n_heads * n_heads);
    let writers = (0..n_layers).map(|layer| Writers::of(model, layer, fold_norms, dtype));
    // Cheap beside the products, and half the memory of what reads.
    let writers = writers.collect::<Result<Vec<_>>>()?;
    for to in 1..n_layers {
        for (through, (weights, norms)) in readers(model, to, fold_norms, dtype)? {
            for (from, writer) in writers[..to].iter().enumerate() {
                let product = weights.matmul(&writer.weights)?.sqr()?; // (H·K, H·K)
                let blocks =
                    product.reshape((n_heads, width, n_heads, width))?.sum((1, 3))?.to_dtype(DType::F64)?;
                for (head, squares) in blocks.to_vec2::<f64>()?.into_iter().enumerate() {
                    for (of, square) in squares.into_iter().enumerate() {
                        let size = norms[head] * writer.norms[of];
                        let score = if size == 0.0 { 0.0 } else { square.sqrt() / size };
                        let score = if subtract_baseline { score - baseline } else { score };
                        scores.push(Composition { from: (from, of), to: (to, head), through, score });
                    }
                }
            }
        }
    }
    scores.sort_by(|a, b| b.score.total_cmp(&a.score).then((a.to, a.from).cmp(&(b.to, b.from))));
    Ok(Compositions { baseline, subtracted: subtract_baseline, scores })
}

/// ‖R·X‖ = ‖B·X‖ for every X if RᵀR = BᵀB: so W_OV = W_O·W_V on the side that is read from is as good as W_O·L,
/// LLᵀ = W_V·W_Vᵀ, all heads side by side: (D, H·K).
struct Writers {
    weights: Tensor,
    norms: Vec<f64>,
}

impl Writers {
    fn of(model: &Transformer, layer: usize, fold_norms: bool, dtype: DType) -> Result<Self> {
        let mut all = Vec::new();
        let mut norms = Vec::new();
        for head in 0..model.config().architecture.n_heads {
            let circuit = Circuit::of(model, layer, head, fold_norms)?;
            let one = circuit.o.matmul(&factor(&circuit.v)?)?;
            norms.push(one.sqr()?.sum_all()?.to_scalar::<f64>()?.sqrt());
            all.push(one.to_dtype(dtype)?);
        }
        Ok(Self { weights: Tensor::cat(&all, 1)?.contiguous()?, norms })
    }
}

type Reader = (Tensor, Vec<f64>);

/// For each input of a block's heads, what stands for the matrix that reads, (H·K, D), and its norms.
fn readers(
    model: &Transformer,
    layer: usize,
    fold_norms: bool,
    dtype: DType,
) -> Result<Vec<(Through, Reader)>> {
    let inputs = [Through::Q, Through::K, Through::V];
    let mut all = inputs.map(|through| (through, Vec::new(), Vec::new()));
    for head in 0..model.config().architecture.n_heads {
        let circuit = Circuit::of(model, layer, head, fold_norms)?;
        for (through, weights, norms) in &mut all {
            // W_QKᵀ = W_Kᵀ·W_Q, W_QK = W_Qᵀ·W_K, W_OV = W_O·W_V.
            let (outer, reads) = match through {
                Through::Q => (circuit.k.clone(), &circuit.q),
                Through::K => (circuit.q.clone(), &circuit.k),
                Through::V => (circuit.o.t()?, &circuit.v),
            };
            let one = factor(&outer)?.t()?.contiguous()?.matmul(reads)?;
            norms.push(one.sqr()?.sum_all()?.to_scalar::<f64>()?.sqrt());
            weights.push(one.to_dtype(dtype)?);
        }
    }
    let stacked = |(through, weights, norms): (Through, Vec<Tensor>, Vec<f64>)| {
        Ok((through, (Tensor::cat(&weights, 0)?, norms)))
    };
    all.into_iter().map(stacked).collect()
}

/// L (K, K) with LLᵀ = A·Aᵀ, A (K, D).
fn factor(a: &Tensor) -> Result<Tensor> {
    let n = a.dim(0)?;
    Ok(Tensor::from_vec(cholesky(&rows_gram(a)?, n), (n, n), &Device::Cpu)?)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use attnlab_model::{Architecture, Norm, NormPlacement};

    use super::super::testing::{V, build, build_in, config, small};
    use super::*;

    fn frobenius(a: &Tensor) -> f64 {
        exact(a).unwrap().iter().map(|x| x * x).sum::<f64>().sqrt()
    }

    /// Singular values from the D×D matrix itself.
    fn singular(a: &Tensor) -> Vec<f64> {
        let n = a.dim(0).unwrap();
        let squares = symmetric_eigenvalues(exact(&a.matmul(&a.t().unwrap()).unwrap()).unwrap(), n).unwrap();
        squares.into_iter().map(|x| x.max(0.0).sqrt()).collect()
    }

    fn share(a: &Tensor) -> f64 {
        let n = a.dim(0).unwrap();
        sign_share(exact(a).unwrap(), n).unwrap()
    }

    fn variants() -> Vec<Architecture> {
        vec![
            small(),
            Architecture { n_kv_heads: Some(1), head_dim: Some(3), ..small() },
            Architecture { norm: Norm::Rms, norm_placement: NormPlacement::Sandwich, ..small() },
            Architecture { norm_placement: NormPlacement::Output, n_kv_heads: None, ..small() },
        ]
    }

    #[test]
    fn numbers_of_a_circuit_are_those_of_its_materialised_matrix() {
        for architecture in variants() {
            let model = build(&config(architecture.clone(), "none"));
            for fold_norms in [false, true] {
                let options =
                    CircuitOptions { fold_norms, vocabulary: true, top: 2, ..CircuitOptions::default() };
                let found = head_circuits(&model, &options).unwrap();
                assert_eq!(head_circuits(&model, &CircuitOptions { threads: 3, ..options }).unwrap(), found);
                assert_eq!(found.len(), 12);
                for one in &found {
                    let circuit = Circuit::of(&model, one.layer, one.head, fold_norms).unwrap();
                    let (qk, ov) = (circuit.qk().unwrap(), circuit.ov().unwrap());
                    let near = |a: f64, b: f64| assert!((a - b).abs() < 1e-6 * (1.0 + b.abs()), "{a} {b}");
                    near(one.qk_norm, frobenius(&qk));
                    near(one.ov_norm, frobenius(&ov));
                    assert_eq!((one.qk_singular.len(), one.ov_singular.len()), (2, 2));
                    one.qk_singular.iter().zip(singular(&qk)).for_each(|(a, b)| near(*a, b));
                    one.ov_singular.iter().zip(singular(&ov)).for_each(|(a, b)| near(*a, b));
                    near(one.qk_matching, share(&qk));
                    near(one.ov_copying, share(&ov));
                    let head = folded(
                        &on_host(model.unembedding().unwrap().0).unwrap(),
                        if fold_norms { model.final_norm() } else { None },
                    );
                    let embedding = on_host(model.embeddings()).unwrap().t().unwrap();
                    let words = head.unwrap().matmul(&ov).unwrap().matmul(&embedding).unwrap();
                    assert_eq!(words.dims(), [V, V]);
                    near(one.vocabulary_copying.unwrap(), share(&words));
                }
            }
        }
    }

    #[test]
    fn a_folded_circuit_reads_the_stream_as_the_norm_and_the_head_do() {
        let model = build(&config(small(), "none"));
        let raw = Circuit::of(&model, 1, 3, false).unwrap();
        let folded = Circuit::of(&model, 1, 3, true).unwrap();
        let x = Tensor::new(&[[0.3, -1.0, 2.0, 0.5, 0.1, 0.7, -0.2, 1.1f64]], &Device::Cpu).unwrap();
        let norm = model.frozen_norm_before_attention(1, &x).unwrap();
        let read = norm.apply(&x).unwrap().matmul(&raw.q.t().unwrap()).unwrap();
        let direct = x.matmul(&folded.q.t().unwrap()).unwrap();
        let (read, direct) = (exact(&read).unwrap(), exact(&direct).unwrap());
        // Up to the scale, which depends on the stream.
        assert!((read[0] / direct[0] - read[1] / direct[1]).abs() < 1e-9);
    }

    #[test]
    fn composition_scores_are_those_of_the_materialised_products() {
        for architecture in variants() {
            for (dtype, tolerance) in [(DType::F64, 1e-7), (DType::F32, 1e-5)] {
                let model = build_in(&config(architecture.clone(), "none"), dtype);
                let found = compositions(&model, true, false).unwrap();
                assert_eq!(found.scores.len(), 3 * 3 * 16);
                assert!((found.baseline - 1.0 / 8f64.sqrt()).abs() < 1e-12);
                assert!(found.scores.windows(2).all(|pair| pair[0].score >= pair[1].score));
                for one in &found.scores {
                    let a = Circuit::of(&model, one.from.0, one.from.1, true).unwrap().ov().unwrap();
                    let b = Circuit::of(&model, one.to.0, one.to.1, true).unwrap();
                    let b = match one.through {
                        Through::Q => b.qk().unwrap().t().unwrap().contiguous().unwrap(),
                        Through::K => b.qk().unwrap(),
                        Through::V => b.ov().unwrap(),
                    };
                    let expected = frobenius(&b.matmul(&a).unwrap()) / frobenius(&b) / frobenius(&a);
                    assert!(one.from.0 < one.to.0);
                    assert!((one.score - expected).abs() < tolerance, "{one:?} {expected}");
                }
                let less = compositions(&model, true, true).unwrap();
                assert!((found.scores[5].score - found.baseline - less.scores[5].score).abs() < 1e-12);
            }
        }
    }

    #[test]
    fn the_baseline_is_what_random_rotations_give_on_average() {
        // ‖B·R·A‖² over the rotations by which coordinates are permuted and their signs drawn: its mean is exactly
        // Σ_ij ‖b_i‖²‖a_j‖²/D, b columns of B and a rows of A.
        let model = build(&config(small(), "none"));
        let a = Circuit::of(&model, 0, 1, true).unwrap().ov().unwrap();
        let b = Circuit::of(&model, 2, 2, true).unwrap().qk().unwrap();
        let columns = exact(&b.sqr().unwrap().sum(0).unwrap()).unwrap();
        let rows = exact(&a.sqr().unwrap().sum(1).unwrap()).unwrap();
        let mean: f64 = columns.iter().flat_map(|b| rows.iter().map(move |a| a * b)).sum::<f64>() / 8.0;
        let score = mean.sqrt() / frobenius(&a) / frobenius(&b);
        assert!((score - compositions(&model, true, false).unwrap().baseline).abs() < 1e-9);
    }

    #[test]
    fn a_vocabulary_score_without_a_vocabulary_is_refused() {
        let mut labeller = config(small(), "none");
        labeller.n_outputs = 3;
        let options = CircuitOptions { vocabulary: true, ..CircuitOptions::default() };
        let error = head_circuits(&build(&labeller), &options).unwrap_err().to_string();
        assert!(error.contains("predicts tokens"), "{error}");
        let missing = CircuitOptions { heads: [4].into(), ..CircuitOptions::default() };
        assert!(head_circuits(&build(&labeller), &missing).unwrap_err().to_string().contains("head 4"));
    }
}
