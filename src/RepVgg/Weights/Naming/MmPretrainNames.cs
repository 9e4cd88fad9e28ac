using System.Text.RegularExpressions;

namespace RepVgg.Weights.Naming;

/// <summary>Converts weight names between the RepVGG of MMPretrain (formerly MMClassification) and the RepVGG authors' code, in both directions.</summary>
/// <remarks>
/// MMPretrain's <c>stem</c> is the authors' stage0, its <c>stage_1</c> their stage1; its <c>branch_3x3</c>, <c>branch_1x1</c>, <c>branch_norm</c> and
/// <c>branch_reparam</c> are their <c>rbr_*</c>, its <c>norm</c> their <c>bn</c>, its <c>se_layer.conv1.conv</c>/<c>conv2.conv</c> their
/// <c>se.down</c>/<c>up</c>, its <c>head.fc</c> their <c>linear</c>. Blocks are written with the prefix <c>backbone.</c> and read without it.
/// MMPretrain has no RepVGGplus.
/// </remarks>
public static partial class MmPretrainNames
{
    private const string Prefix = "backbone.";

    private static readonly NameStyle _style = new(
        "MMPretrain",
        Block(),
        [
            ("branch_3x3.conv", "rbr_dense.conv"),
            ("branch_3x3.norm", "rbr_dense.bn"),
            ("branch_1x1.conv", "rbr_1x1.conv"),
            ("branch_1x1.norm", "rbr_1x1.bn"),
            ("branch_norm", "rbr_identity"),
            ("branch_reparam", "rbr_reparam"),
            ("se_layer.conv1.conv", "se.down"),
            ("se_layer.conv2.conv", "se.up"),
        ],
        (stage, block) => stage == 0 ? Prefix + "stem" : $"{Prefix}stage_{stage}.{block}",
        firstStage: 1);

    /// <summary>Whether weights have MMPretrain's names.</summary>
    /// <param name="state">The weights.</param>
    /// <returns>True if the branches of blocks are named <c>branch_3x3</c> or <c>branch_reparam</c>.</returns>
    public static bool AreIn(StateDict state) => _style.IsIn(state);

    /// <summary>Renames MMPretrain's names to the authors'; the tensors are shared.</summary>
    /// <param name="state">Weights under MMPretrain's names, with or without the prefix <c>backbone.</c>.</param>
    /// <returns>The same weights under the authors' names, in the same order.</returns>
    /// <exception cref="ArgumentException">There are names that MMPretrain's RepVGG does not have. The message names the first ones.</exception>
    public static StateDict ToAuthors(StateDict state) => _style.ToAuthors(state);

    /// <summary>Renames the authors' names to MMPretrain's; the tensors are shared.</summary>
    /// <param name="state">Weights under the authors' names, of either form.</param>
    /// <returns>The same weights under MMPretrain's names, in the same order.</returns>
    /// <exception cref="ArgumentException">
    /// There are names that MMPretrain's RepVGG cannot express, such as those of RepVGGplus; the identity branches have no batch norm; or the weights
    /// are the deploy form with squeeze-and-excitation, which MMPretrain's deploy form does not compute. The message names the first tensors.
    /// </exception>
    public static StateDict FromAuthors(StateDict state)
    {
        ArgumentNullException.ThrowIfNull(state);
        if (state.Names.Any(name => name.EndsWith(".rbr_reparam.weight", StringComparison.Ordinal)) && state.Names.Any(name => name.EndsWith(".se.down.weight", StringComparison.Ordinal)))
            throw new ArgumentException("MMPretrain's deploy form leaves out squeeze-and-excitation, so that these weights would give other logits there. Write the training form.", nameof(state));
        return _style.FromAuthors(state);
    }

    [GeneratedRegex(@"\A(backbone\.)?(stem|stage_(?<stage>[0-9]{1,3})\.(?<block>[0-9]{1,4}))\.(?<rest>(branch_\w+|se_layer)\..+)\z")]
    private static partial Regex Block();
}
