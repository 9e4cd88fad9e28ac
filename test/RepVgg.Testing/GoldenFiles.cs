using System.Text.Json;
using RepVgg.Architectures;
using RepVgg.Tool.Weights;
using RepVgg.Weights;
using RepVgg.Weights.PyTorch;

namespace RepVgg.Testing;

/// <summary>Outputs of the original PyTorch code; what they are stands in Golden/README.md.</summary>
internal static class GoldenFiles
{
    public static string PathOf(string name) => Path.Combine(AppContext.BaseDirectory, "Golden", name);

    /// <summary>A file of the cases from users' reports.</summary>
    public static string CaseOf(string name) => PathOf(Path.Combine("cases", name));

    public static JsonElement Manifest { get; } = JsonDocument.Parse(File.ReadAllText(PathOf("manifest.json"))).RootElement;

    /// <summary>The forms of which there is golden data of single blocks, and their names in the files. Data of <c>Csla</c> and <c>Plain</c> networks is in the folder repopt.</summary>
    public static IReadOnlyDictionary<TrainingForm, string> BlockKinds { get; } = new Dictionary<TrainingForm, string>
    {
        [TrainingForm.RepVgg] = "repvgg",
        [TrainingForm.IdentityWithoutNorm] = "identity-without-bn",
        [TrainingForm.PostAdditionNorm] = "post-addition-bn",
        [TrainingForm.ReluInBranches] = "relu-in-branches",
        [TrainingForm.Dirac] = "dirac",
        [TrainingForm.TrivialReparam] = "trivial",
        [TrainingForm.AsymmetricConv] = "acb",
        [TrainingForm.ResidualReorg] = "residual-reorg",
        [TrainingForm.DiverseBranch] = "dbb",
        [TrainingForm.MobileOne] = "mobileone",
        [TrainingForm.QARepVgg] = "qarepvgg",
    };

    /// <summary>All blocks of which there is golden data: every form and geometry, except that residual reorg has no groups. Only the Diverse Branch Block has other branches if it is depthwise.</summary>
    public static IEnumerable<(TrainingForm Form, string Geometry)> Blocks =>
    [
        .. from form in BlockKinds.Keys
           from geometry in (string[])["same", "down", "grouped"]
           where form != TrainingForm.ResidualReorg || geometry != "grouped"
           select (form, geometry),
        (TrainingForm.DiverseBranch, "depthwise"),
    ];

    /// <summary>The data of one block of a form; the geometry is <c>same</c>, <c>down</c>, <c>grouped</c> or <c>depthwise</c>.</summary>
    public static StateDict Block(TrainingForm form, string geometry) => PthReader.Read(PathOf(Path.Combine("blocks", $"{BlockKinds[form]}-{geometry}.pth")));

    /// <summary>The block of <see cref="Block"/>, with the name <c>block</c>.</summary>
    public static BlockSpec BlockSpecOf(TrainingForm form, string geometry) =>
        new("block", geometry == "down" ? 4 : 6, 6, geometry == "down" ? 2 : 1, geometry switch { "grouped" => 2, "depthwise" => 6, _ => 1 }, SqueezeExcitation.None)
        {
            Form = form,
            Layers = TrainingForms.LayersPerBlock(form),
            ConvolutionBranches = form == TrainingForm.MobileOne ? 3 : 1,
        };

    /// <summary>A NumPy array of float32.</summary>
    public static TensorData Floats(string name) => NumpyFile.Read(PathOf(name));

    /// <summary>A NumPy array of int64.</summary>
    public static (int[] Shape, long[] Values) Longs(string name) => NumpyFile.ReadInt64(PathOf(name));
}
