namespace RepVgg.Architectures;

/// <summary>
/// The training form of the blocks of a network: the branches that a block sums in training. Every form except
/// <see cref="ReluInBranches"/> and <see cref="ResidualReorg"/> fuses into the same plain 3x3 convolution with bias and ReLU.
/// </summary>
/// <remarks>
/// In the formulas, BN is a batch norm, x the input of the block, and [+ x] a term of blocks whose input and output have the same shape.
/// </remarks>
public enum TrainingForm
{
    /// <summary>relu(BN(conv3x3 x) + BN(conv1x1 x) [+ BN(x)]). Source: RepVGG, section 3.2.</summary>
    RepVgg,

    /// <summary>relu(BN(conv3x3 x) + BN(conv1x1 x) [+ x]). Source: RepVGG, section 4.2, "Identity w/o BN".</summary>
    IdentityWithoutNorm,

    /// <summary>relu(BN(conv3x3 x + conv1x1 x [+ x])). Source: RepVGG, section 4.2, "Post-addition BN".</summary>
    PostAdditionNorm,

    /// <summary>relu(relu(BN(conv3x3 x)) + relu(BN(conv1x1 x)) [+ relu(BN(x))]), which cannot be fused. Source: RepVGG, section 4.2, "+ReLU in branches".</summary>
    ReluInBranches,

    /// <summary>relu(BN(conv(x, alpha D + beta N(W)))), where D is the kernel of the identity and N divides each filter by its L2 norm. Source: Zagoruyko and Komodakis, "DiracNets", 2017.</summary>
    Dirac,

    /// <summary>relu(BN(conv(x, D + W))), where D is the kernel of the identity. Source: RepVGG, section 4.2, "Trivial Re-param".</summary>
    TrivialReparam,

    /// <summary>relu(BN(conv3x3 x) + BN(conv3x1 x) + BN(conv1x3 x)). Source: Ding et al., "ACNet", ICCV 2019.</summary>
    AsymmetricConv,

    /// <summary>Two 3x3 layers with a shortcut, as in ResNet-18: relu(BN(conv3x3 relu(BN(conv3x3 x))) + shortcut(x)), which cannot be fused. Source: RepVGG, section 4.2, "Residual Reorg".</summary>
    ResidualReorg,

    /// <summary>Sum of a 3x3, a 1x1, a 1x1 followed by an average over 3x3, and a 1x1 followed by a 3x3 convolution, each layer with a batch norm; then ReLU. Source: Ding et al., "Diverse Branch Block", CVPR 2021.</summary>
    DiverseBranch,

    /// <summary>relu(sum of k BN(conv3x3 x) + BN(conv1x1 x) [+ BN(x)]), with k = <see cref="RepVggArchitecture.ConvolutionBranches"/>. Source: Vasu et al., "MobileOne", CVPR 2023.</summary>
    MobileOne,

    /// <summary>relu(BN(BN(conv3x3 x) + conv1x1 x [+ x])). Source: Chu et al., "Make RepVGG Greater Again: A Quantization-aware Approach", AAAI 2024.</summary>
    QARepVgg,

    /// <summary>relu(BN(conv3x3 x)): no other branch. RepOpt-VGG trains this form with RepOptimizer. Source: Ding et al., "Re-parameterizing Your Optimizers rather than Architectures", ICLR 2023.</summary>
    Plain,

    /// <summary>
    /// relu(BN(s3 conv3x3 x + s1 conv1x1 x [+ s0 x])) with constant scales s3 and s1 per output channel and a trained scale s0: the network that
    /// <see cref="Plain"/> with RepOptimizer is equivalent to. Source: as <see cref="Plain"/>, "constant-scale linear addition".
    /// </summary>
    Csla,

    /// <summary>As <see cref="Csla"/>, with trained scales, which a search finds for RepOptimizer. Source: as <see cref="Plain"/>, "Hyper-Search".</summary>
    HyperSearch,
}
