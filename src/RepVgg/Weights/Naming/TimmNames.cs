using System.Text.RegularExpressions;

namespace RepVgg.Weights.Naming;

/// <summary>Converts weight names between the timm library's RepVGG and the RepVGG authors' code, in both directions.</summary>
/// <remarks>
/// timm's <c>stem</c> is the authors' stage0, its <c>stages.0</c> their stage1; its <c>conv_kxk</c>, <c>conv_1x1</c>,
/// <c>identity</c> and <c>reparam_conv</c> are their <c>rbr_*</c>, its <c>attn.fc1</c>/<c>fc2</c> their <c>se.down</c>/<c>up</c>,
/// its <c>head.fc</c> their <c>linear</c>. timm has no RepVGGplus.
/// </remarks>
public static partial class TimmNames
{
    private static readonly NameStyle _style = new(
        "timm",
        Block(),
        [
            ("conv_kxk", "rbr_dense"),
            ("conv_1x1", "rbr_1x1"),
            ("identity", "rbr_identity"),
            ("reparam_conv", "rbr_reparam"),
            ("attn.fc1", "se.down"),
            ("attn.fc2", "se.up"),
        ],
        (stage, block) => stage == 0 ? "stem" : $"stages.{stage - 1}.{block}",
        firstStage: 0);

    /// <summary>Whether weights have timm's names.</summary>
    /// <param name="state">The weights.</param>
    /// <returns>True if blocks are named <c>stem</c> and <c>stages</c>.</returns>
    public static bool AreIn(StateDict state) => _style.IsIn(state);

    /// <summary>Renames timm's names to the authors'; the tensors are shared.</summary>
    /// <param name="state">Weights under timm's names.</param>
    /// <returns>The same weights under the authors' names, in the same order.</returns>
    /// <exception cref="ArgumentException">There are names that timm's RepVGG does not have. The message names the first ones.</exception>
    public static StateDict ToAuthors(StateDict state) => _style.ToAuthors(state);

    /// <summary>Renames the authors' names to timm's; the tensors are shared.</summary>
    /// <param name="state">Weights under the authors' names, of either form.</param>
    /// <returns>The same weights under timm's names, in the same order.</returns>
    /// <exception cref="ArgumentException">
    /// There are names that timm's RepVGG cannot express, such as those of RepVGGplus, or the identity branches have no batch norm. The message names the first ones.
    /// </exception>
    public static StateDict FromAuthors(StateDict state) => _style.FromAuthors(state);

    [GeneratedRegex(@"\A(stem|stages\.(?<stage>[0-9]{1,3})\.(?<block>[0-9]{1,4}))\.(?<rest>(conv_kxk|conv_1x1|identity|reparam_conv|attn)\..+)\z")]
    private static partial Regex Block();
}
