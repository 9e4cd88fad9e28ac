using System.Collections.Immutable;

namespace RepVgg.Architectures;

/// <summary>The branches of every training form. A new form is one entry here.</summary>
internal static class TrainingForms
{
    private static readonly ImmutableDictionary<TrainingForm, Entry> _entries = new Dictionary<TrainingForm, Entry>
    {
        [TrainingForm.RepVgg] = new("rbr_dense.conv", block =>
        [
            BranchSpec.ConvolutionAndNorm("rbr_dense", 3),
            BranchSpec.ConvolutionAndNorm("rbr_1x1", 1),
            .. If(block.HasIdentity, BranchSpec.Identity("rbr_identity") with { DecaysNormWeight = true }),
        ])
        {
            IdentityTensor = "rbr_identity.weight",
            HasCustomL2 = true,
        },
        [TrainingForm.IdentityWithoutNorm] = new("rbr_dense.conv", block =>
        [
            BranchSpec.ConvolutionAndNorm("rbr_dense", 3),
            BranchSpec.ConvolutionAndNorm("rbr_1x1", 1),
            .. If(block.HasIdentity, BranchSpec.Identity()),
        ])
        {
            // Its names are also those of RepVGG blocks without an identity.
            IsToldByNames = false,
            HasCustomL2 = true,
        },
        [TrainingForm.PostAdditionNorm] = new("rbr_dense", block =>
        [
            BranchSpec.Convolution(3, "rbr_dense"),
            BranchSpec.Convolution(1, "rbr_1x1"),
            .. If(block.HasIdentity, BranchSpec.Identity()),
        ])
        {
            SumNorm = "bn",
        },
        [TrainingForm.ReluInBranches] = new("rbr_dense.conv", block =>
        [
            BranchSpec.ConvolutionAndNorm("rbr_dense", 3) with { Relu = true },
            BranchSpec.ConvolutionAndNorm("rbr_1x1", 1) with { Relu = true },
            .. If(block.HasIdentity, BranchSpec.Identity("rbr_identity") with { Relu = true, DecaysNormWeight = true }),
        ])
        {
            IdentityTensor = "rbr_identity.weight",
            // Its names are those of the RepVGG block.
            IsToldByNames = false,
            Obstacle = "each of its branches ends in a ReLU, so that a block is not linear before its last ReLU",
        },
        [TrainingForm.Dirac] = new("rbr_dense.conv", _ =>
        [
            BranchSpec.Convolution(3, "rbr_dense.conv") with { NormalizesFilters = true, Scale = new ScaleSpec("rbr_dense.conv.beta", 0.1f) },
            BranchSpec.Delta() with { Scale = new ScaleSpec("rbr_dense.conv.alpha", 1) },
        ])
        {
            SumNorm = "rbr_dense.bn",
        },
        [TrainingForm.TrivialReparam] = new("rbr_dense.conv", _ => [BranchSpec.Convolution(3, "rbr_dense.conv"), BranchSpec.Delta()])
        {
            SumNorm = "rbr_dense.bn",
        },
        [TrainingForm.AsymmetricConv] = new("square_conv", _ =>
        [
            BranchSpec.Convolution(3, "square_conv", "square_bn"),
            new BranchSpec(BranchKind.Convolution, 3, 1, "ver_conv", "ver_bn"),
            new BranchSpec(BranchKind.Convolution, 1, 3, "hor_conv", "hor_bn"),
        ]),
        [TrainingForm.ResidualReorg] = new("conv1", block => block.Layers == 1
            ? [BranchSpec.Convolution(3, "conv", "bn")]
            :
            [
                BranchSpec.Convolution(3, "conv2", "bn2") with { First = new FirstLayerSpec(3, "conv1", "bn1", block.OutputChannels) { Relu = true } },
                block.HasIdentity ? BranchSpec.Identity() : BranchSpec.Convolution(1, "downsample.0", "downsample.1"),
            ])
        {
            Obstacle = "its blocks are two 3x3 layers with a ReLU between them and a shortcut around them",
        },
        [TrainingForm.DiverseBranch] = new("dbb_origin.conv", DiverseBranches),
        [TrainingForm.MobileOne] = new("rbr_conv.0.conv", block =>
        [
            .. Enumerable.Range(0, block.ConvolutionBranches).Select(i => BranchSpec.ConvolutionAndNorm($"rbr_conv.{i}", 3)),
            BranchSpec.ConvolutionAndNorm("rbr_scale", 1),
            .. If(block.HasIdentity, BranchSpec.Identity("rbr_skip")),
        ])
        {
            IdentityTensor = "rbr_skip.weight",
        },
        [TrainingForm.QARepVgg] = new("rbr_dense.conv", block =>
        [
            BranchSpec.ConvolutionAndNorm("rbr_dense", 3),
            BranchSpec.Convolution(1, "rbr_1x1"),
            .. If(block.HasIdentity, BranchSpec.Identity()),
        ])
        {
            SumNorm = "bn",
        },
        [TrainingForm.Plain] = new("conv", _ => [BranchSpec.Convolution(3, "conv", "bn")]),
        [TrainingForm.Csla] = new("conv", block => ScaledBranches(block, isTrained: false))
        {
            SumNorm = "bn",
            IdentityTensor = "scale_identity.weight",
            // Its names are those of HyperSearch.
            IsToldByNames = false,
        },
        [TrainingForm.HyperSearch] = new("conv", block => ScaledBranches(block, isTrained: true))
        {
            SumNorm = "bn",
            IdentityTensor = "scale_identity.weight",
        },
    }.ToImmutableDictionary();

    /// <summary>All forms.</summary>
    public static ImmutableArray<TrainingForm> All { get; } = [.. Enum.GetValues<TrainingForm>()];

    /// <summary>The forms that the names of weights tell, in the order in which they are tried. Weights of other forms need a description, or the form is given.</summary>
    public static ImmutableArray<TrainingForm> ToldByNames { get; } = [.. All.Where(form => _entries[form].IsToldByNames)];

    /// <summary>Whether no other form has the names of a form's weights.</summary>
    public static bool IsToldByNames(TrainingForm form) => _entries[form].IsToldByNames;

    /// <summary>Name within a block of the 3x3 kernel by which a form is found in weights, e.g. <c>rbr_dense.conv</c>.</summary>
    public static string MainKernelOf(TrainingForm form) => _entries[form].MainKernel;

    /// <summary>Name within a block of a tensor that exactly the blocks with an identity have, e.g. <c>rbr_identity.weight</c>; null if the form has no such tensor.</summary>
    public static string? IdentityTensorOf(TrainingForm form) => _entries[form].IdentityTensor;

    /// <summary>Name within a block of the batch norm that follows the sum of the branches; null if there is none.</summary>
    public static string? SumNormOf(TrainingForm form) => _entries[form].SumNorm;

    /// <summary>Why the blocks of a form cannot be fused into one convolution, as a clause; null if they can.</summary>
    public static string? FusionObstacleOf(TrainingForm form) => _entries[form].Obstacle;

    /// <summary>Whether the RepVGG authors' custom L2 penalty is defined for a form: for sums of a 3x3 and a 1x1 convolution with batch norms.</summary>
    public static bool HasCustomL2(TrainingForm form) => _entries[form].HasCustomL2;

    /// <summary>Whether a form has blocks with an identity branch, to which stochastic depth applies.</summary>
    public static bool HasIdentityBranch(TrainingForm form) => BranchesOf(form).Any(branch => branch is { Kind: BranchKind.Identity, Scale: null });

    /// <summary>Whether all branches of a form are single layers without ReLU, so that backends compute their equivalent kernel, which quantization-aware training rounds in every step.</summary>
    public static bool HasSingleLayers(TrainingForm form) => BranchesOf(form).All(branch => branch.IsSingleLayer);

    /// <summary>The branches of a block with an identity.</summary>
    private static ImmutableArray<BranchSpec> BranchesOf(TrainingForm form) => BranchesOf(new BlockSpec("", 4, 4, 1, 1, SqueezeExcitation.None) { Form = form, Layers = LayersPerBlock(form) });

    /// <summary>Number of 3x3 layers of a block: 2 for ResidualReorg, otherwise 1.</summary>
    public static int LayersPerBlock(TrainingForm form) => form == TrainingForm.ResidualReorg ? 2 : 1;

    /// <summary>Returns the branches of a block.</summary>
    public static ImmutableArray<BranchSpec> BranchesOf(BlockSpec block) => _entries[block.Form].Branches(block);

    /// <summary>The branches of CSLA and Hyper-Search. The scale of block j of a stage is sqrt(2 / j) at first, that of its first block 1, and that of an identity 1.</summary>
    /// <remarks>Source: RepOptimizer, section 3.3. The scale of the identity is the diagonal of the equivalent kernel, so weight decay applies to it.</remarks>
    private static ImmutableArray<BranchSpec> ScaledBranches(BlockSpec block, bool isTrained)
    {
        float initial = block.IndexInStage == 0 ? 1 : MathF.Sqrt(2f / block.IndexInStage);
        return
        [
            BranchSpec.Convolution(3, "conv") with { Scale = new ScaleSpec("scale_conv.weight", initial) { IsTrained = isTrained } },
            BranchSpec.Convolution(1, "conv_1x1") with { Scale = new ScaleSpec("scale_1x1.weight", initial) { IsTrained = isTrained } },
            .. If(block.HasIdentity, BranchSpec.Identity() with { Scale = new ScaleSpec("scale_identity.weight", 1) { HasWeightDecay = true } }),
        ];
    }

    /// <summary>The branches of a Diverse Branch Block. A depthwise block has no 1x1 branch, no 1x1 before the average, and twice the channels between the last branch's layers.</summary>
    private static ImmutableArray<BranchSpec> DiverseBranches(BlockSpec block)
    {
        bool isDepthwise = block.Groups == block.OutputChannels && block.Groups == block.InputChannels;
        int between = isDepthwise ? 2 * block.InputChannels : block.InputChannels;
        bool addsInput = between == block.InputChannels;
        return
        [
            BranchSpec.ConvolutionAndNorm("dbb_origin", 3),
            .. If(!isDepthwise, BranchSpec.ConvolutionAndNorm("dbb_1x1", 1)),
            BranchSpec.Average("dbb_avg.avgbn") with { First = isDepthwise ? null : new FirstLayerSpec(1, "dbb_avg.conv", "dbb_avg.bn.bn", block.OutputChannels) },
            BranchSpec.Convolution(3, "dbb_1x1_kxk.conv2", "dbb_1x1_kxk.bn2") with
            {
                First = new FirstLayerSpec(1, addsInput ? "dbb_1x1_kxk.idconv1" : "dbb_1x1_kxk.conv1", "dbb_1x1_kxk.bn1.bn", between) { AddsInput = addsInput },
            },
        ];
    }

    private static ImmutableArray<BranchSpec> If(bool condition, BranchSpec branch) => condition ? [branch] : [];

    private sealed record Entry(string MainKernel, Func<BlockSpec, ImmutableArray<BranchSpec>> Branches)
    {
        /// <summary>Name of the batch norm after the sum of the branches.</summary>
        public string? SumNorm { get; init; }

        /// <summary>Name of a tensor that exactly the blocks with an identity have.</summary>
        public string? IdentityTensor { get; init; }

        /// <summary>Whether no other form has the same names of weights.</summary>
        public bool IsToldByNames { get; init; } = true;

        public bool HasCustomL2 { get; init; }

        /// <summary>Why blocks cannot be fused.</summary>
        public string? Obstacle { get; init; }
    }
}
