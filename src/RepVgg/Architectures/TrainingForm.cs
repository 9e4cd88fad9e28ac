using System.Collections.Immutable;

namespace RepVgg.Architectures;

/// <summary>The training form of the blocks of a network: the branches that a block sums. All forms fuse into the same plain 3x3 convolution.</summary>
public enum TrainingForm
{
    /// <summary>3x3, 1x1 and identity, each followed by a batch norm. Source: RepVGG, section 3.2.</summary>
    RepVgg,

    /// <summary>3x3 and 1x1, each followed by a batch norm, and the input itself. Source: RepVGG, section 4.2, "Identity w/o BN".</summary>
    IdentityWithoutNorm,
}

/// <summary>The branches of every training form. A new form is one entry here.</summary>
internal static class TrainingForms
{
    private static readonly ImmutableArray<BranchSpec> _convolutions = [BranchSpec.ConvolutionAndNorm("rbr_dense", 3), BranchSpec.ConvolutionAndNorm("rbr_1x1", 1)];

    /// <summary>For every form, its convolution branches, and its identity branch for blocks whose input and output have the same shape.</summary>
    private static readonly ImmutableDictionary<TrainingForm, Entry> _entries = new Dictionary<TrainingForm, Entry>
    {
        [TrainingForm.RepVgg] = new(_convolutions, BranchSpec.IdentityAndNorm("rbr_identity")),
        // The names of its weights are also those of blocks without an identity.
        [TrainingForm.IdentityWithoutNorm] = new(_convolutions, new BranchSpec(BranchKind.Identity, 1, 1, null, null)) { IsToldByNames = false },
    }.ToImmutableDictionary();

    /// <summary>All forms.</summary>
    public static ImmutableArray<TrainingForm> All { get; } = [.. Enum.GetValues<TrainingForm>()];

    /// <summary>The forms that the names of weights tell, in the order in which they are tried. Weights of other forms need a description, or the form is given.</summary>
    public static ImmutableArray<TrainingForm> ToldByNames { get; } = [.. All.Where(form => _entries[form].IsToldByNames)];

    /// <summary>Name within a block of the kernel by which a form is found in weights: that of its first 3x3 convolution, e.g. <c>rbr_dense.conv</c>.</summary>
    public static string MainKernelOf(TrainingForm form) => _entries[form].Convolutions.First(branch => branch is { KernelHeight: 3, KernelWidth: 3 }).KernelName!;

    /// <summary>Name within a block of the identity branch's batch norm, e.g. <c>rbr_identity</c>; null if the identity branch has no parameters.</summary>
    public static string? IdentityNormOf(TrainingForm form) => _entries[form].Identity?.NormName;

    /// <summary>Returns the branches of a block of a form.</summary>
    /// <param name="form">The form.</param>
    /// <param name="hasIdentity">Whether the input and the output of the block have the same shape.</param>
    public static ImmutableArray<BranchSpec> BranchesOf(TrainingForm form, bool hasIdentity)
    {
        var entry = _entries[form];
        return hasIdentity ? entry.WithIdentity : entry.Convolutions;
    }

    private sealed record Entry(ImmutableArray<BranchSpec> Convolutions, BranchSpec? Identity)
    {
        /// <summary>Whether no other form has the same names of weights.</summary>
        public bool IsToldByNames { get; init; } = true;

        public ImmutableArray<BranchSpec> WithIdentity { get; } = Identity is null ? Convolutions : Convolutions.Add(Identity);
    }
}
