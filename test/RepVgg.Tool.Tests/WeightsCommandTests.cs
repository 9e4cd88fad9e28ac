extern alias tool;

using System.Globalization;
using System.Text.RegularExpressions;
using Microsoft.ML.OnnxRuntime;
using Microsoft.ML.OnnxRuntime.Tensors;
using RepVgg.Architectures;
using RepVgg.Diagnostics;
using RepVgg.Networks;
using RepVgg.Tool.Weights;
using RepVgg.Testing;
using RepVgg.Weights;
using RepVgg.Weights.Files;
using RepVgg.Weights.Naming;
using RepVgg.Weights.Onnx;
using RepVgg.Weights.PyTorch;
using RepVgg.Weights.Safetensors;
using Xunit;
using NumpyFile = tool::RepVgg.Tool.Weights.NumpyFile;

namespace RepVgg.Tool.Tests;

/// <summary>The commands list, create, inspect, verify and convert.</summary>
[Collection(ConsoleCollection.Name)]
public sealed class WeightsCommandTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    private static string Succeeds(params string[] arguments)
    {
        var (exitCode, output, error) = Programs.Tool.RunHere(arguments);
        Assert.True(exitCode == 0, output + error);
        return output;
    }

    private static string Fails(int code, params string[] arguments)
    {
        var (exitCode, output, error) = Programs.Tool.RunHere(arguments);
        Assert.Equal(code, exitCode);
        return error.Length > 0 ? error : output;
    }

    private string Train(string name) => GoldenFiles.PathOf($"{name}-train.pth");

    [Fact]
    public void Convert_writes_the_class_activation_maps_as_a_second_output()
    {
        string onnx = _folder.File("map.onnx");
        Succeeds("convert", Train("tiny"), onnx, "--image-size", "64", "--activation-map");
        var weights = WeightsFile.Read(onnx);
        using var session = new InferenceSession(onnx);
        using var results = session.Run([NamedOnnxValue.CreateFromTensor("input", new DenseTensor<float>(RandomStates.Images(1, 3, 64, 64).Values.ToArray(), [1, 3, 64, 64]))]);
        float[] logits = [.. results.Single(result => result.Name == "logits").AsEnumerable<float>()];
        var map = results.Single(result => result.Name == "activation_map").AsTensor<float>();
        int cells = map.Dimensions[2] * map.Dimensions[3];
        Assert.Equal(4, cells);
        // A logit is the mean of the map of its class, plus the bias.
        float[] bias = weights.State["linear.bias"].Values.ToArray(), values = [.. map];
        Compare.Close(logits, [.. logits.Select((_, i) => values.AsSpan(i * cells, cells).ToArray().Average() + bias[i])], 1e-4);
        Assert.Contains("--activation-map is for ONNX only", Fails(2, "convert", Train("tiny"), _folder.File("a.pth"), "--activation-map"));
        Assert.Contains("--activation-map needs a classifier", Fails(2, "convert", GoldenFiles.CaseOf("w-no-classifier.pth"), _folder.File("a.onnx"), "--image-size", "32", "--activation-map"));
    }

    [Theory]
    [InlineData(9)]
    [InlineData(14)]
    [InlineData(21)]
    public void The_operator_set_of_an_ONNX_file_can_be_chosen(int opset)
    {
        string onnx = _folder.File("opset.onnx"), images = _folder.File("images.npy"), logits = _folder.File("logits.npy");
        Succeeds("convert", Train("tiny"), onnx, "--image-size", "32", "--opset", $"{opset}");
        var pixels = RandomStates.Images(2, 3, 32, 32);
        NumpyFile.Write(images, pixels);
        Succeeds("run", onnx, images, logits);
        using var session = new InferenceSession(onnx);
        using var results = session.Run([NamedOnnxValue.CreateFromTensor("input", new DenseTensor<float>(pixels.Values.ToArray(), [2, 3, 32, 32]))]);
        Compare.Close(NumpyFile.Read(logits).Values, results.Single().AsEnumerable<float>().ToArray(), 1e-4);
    }

    [Fact]
    public void Operator_sets_that_cannot_be_written_are_refused()
    {
        Assert.Contains("--opset is '22'; it must be a whole number from 9 to 21.", Fails(2, "convert", Train("tiny"), _folder.File("a.onnx"), "--opset", "22"));
        Assert.Contains("--opset is '8'", Fails(2, "convert", Train("tiny"), _folder.File("a.onnx"), "--opset", "8"));
        Assert.Contains("--opset is for ONNX only", Fails(2, "convert", Train("tiny"), _folder.File("a.pth"), "--opset", "14"));
    }

    [Theory]
    [InlineData("--image-size", "list", "--image-size", "100000")]
    [InlineData("--channels", "create", "S0", "OUT", "--channels", "2")]
    [InlineData("--classes", "create", "S0", "OUT", "--classes", "2000000000")]
    [InlineData("Images of 8x8 pixels are too small", "verify", "IN", "--image-size", "8")]
    [InlineData("--images", "verify", "IN", "--images", "2000000000")]
    [InlineData("Images of 8x8 pixels are too small", "convert", "IN", "OUT", "--image-size", "8")]
    [InlineData("--mean and --std have 2 numbers each", "convert", "IN", "OUT", "--mean", "1,2", "--std", "1,2")]
    [InlineData("--threads", "run", "IN", "missing.npy", "OUT", "--threads", "2000")]
    [InlineData("--out", "search-scales", "--out", "scales.txt")]
    [InlineData("--architecture", "search-scales", "--out", "OUT", "--architecture", "RepVGG-A0")]
    [InlineData("--architecture", "ablation", "--architecture", "RepVGG-A0", "--out", "FOLDER")]
    public void Values_that_only_the_library_refuses_are_errors_of_the_command_line(string expected, params string[] arguments)
    {
        arguments = Array.ConvertAll(arguments, word => word switch { "IN" => Train("tiny"), "OUT" => _folder.File("out.pth"), "FOLDER" => _folder.File("ablation"), _ => word });
        Assert.Contains(expected, Fails(2, arguments));
        Assert.False(File.Exists(_folder.File("out.pth")));
    }

    [Fact]
    public void Names_of_any_script_are_written_to_files_and_pipes_as_UTF_8()
    {
        string[] labels = ["🐱 cat", "👩‍🚀", "قطة", "cafe\u0301", "日本語"];
        var weights = WeightsFile.Read(GoldenFiles.PathOf("tiny-deploy.pth"));
        labels = [.. labels, .. Enumerable.Range(labels.Length, weights.Classes - labels.Length).Select(i => $"{i}")];
        SafetensorsWriter.Write(weights.State, _folder.File("a.safetensors"), weights.Describe() with { ClassLabels = [.. labels] });
        // With a language whose encoding has none of these characters.
        var start = new System.Diagnostics.ProcessStartInfo("dotnet", [typeof(WeightsCommands).Assembly.Location, "inspect", _folder.File("a.safetensors")]) { RedirectStandardOutput = true };
        (start.Environment["LANG"], start.Environment["LC_ALL"]) = ("en_US.ISO-8859-1", "en_US.ISO-8859-1");
        using var process = System.Diagnostics.Process.Start(start)!;
        using var output = new MemoryStream();
        process.StandardOutput.BaseStream.CopyTo(output);
        process.WaitForExit();
        string text = new System.Text.UTF8Encoding(false, throwOnInvalidBytes: true).GetString(output.ToArray());
        Assert.StartsWith("File ", text);
        Assert.Contains($": {string.Join(", ", labels[..5])}", text);
    }

    [Fact]
    public void Columns_of_a_table_have_the_width_that_terminals_show()
    {
        var table = new Table("class", "images");
        table.Add("🐱", "1");
        table.Add("cafe\u0301", "2");
        table.Add("日本", "30");
        table.Add(Table.Shorten("日本語の猫", 8), "4");
        table.Add(Table.Shorten("e\u0301e\u0301e\u0301e\u0301e\u0301e\u0301", 5), "5");
        using var output = new StringWriter { NewLine = "\n" };
        table.Write(output);
        // Emoji and Chinese characters are two columns wide, accents none.
        Assert.Equal("class    images\n🐱            1\ncafe\u0301          2\n日本         30\n日本...       4\ne\u0301e\u0301...         5\n", output.ToString());
    }

    [Fact]
    public void List_shows_every_variant_with_its_figures()
    {
        string output = Succeeds("list");
        foreach (var variant in RepVggVariants.All)
            Assert.Matches($@"(?m)^{Regex.Escape(variant.Name)} +\d", output);
        Assert.Matches(@"(?m)^RepVGG-A0 +9\.11 +8\.31 +1\.52 +1\.36 ", output);
        Assert.Matches(@"(?m)^RepVGG-B3g4 +83\.83 +75\.63 +\d+\.\d\d +16\.06 ", output);
    }

    [Fact]
    public void A_pth_file_keeps_the_description_and_what_a_foreign_one_does_not_say_is_printed()
    {
        string onnx = _folder.File("own.onnx"), pth = _folder.File("own.pth");
        Succeeds("convert", Train("tiny"), onnx, "--image-size", "32", "--mean", "91.5,60,30", "--std", "50,40,25");
        Assert.DoesNotContain("Assumed", Succeeds("convert", onnx, pth));

        string images = _folder.File("images.npy"), expected = _folder.File("expected.npy"), actual = _folder.File("actual.npy");
        NumpyFile.Write(images, RandomStates.Images(2, 3, 32, 32));
        Assert.DoesNotContain("Assumed", Succeeds("run", onnx, images, expected));
        Assert.DoesNotContain("Assumed", Succeeds("run", pth, images, actual));
        Compare.Close(NumpyFile.Read(expected).Values, NumpyFile.Read(actual).Values, 1e-5);

        PthWriter.Write(PthReader.Read(pth), pth);
        Assert.Contains("Assumed: normalisation mean 123.675, 116.28, 103.53, standard deviation 58.395, 57.12, 57.375 (ImageNet's, for pixels 0 to 255): the file does not say it. Give --mean and --std if that is wrong.", Succeeds("run", pth, images, actual));
        Assert.NotEqual(NumpyFile.Read(expected).Values, NumpyFile.Read(actual).Values);
        Succeeds("run", pth, images, actual, "--mean", "91.5,60,30", "--std", "50,40,25");
        Compare.Close(NumpyFile.Read(expected).Values, NumpyFile.Read(actual).Values, 1e-5);
    }

    [Fact]
    public void List_leaves_out_variants_that_the_images_are_too_small_for()
    {
        string output = Succeeds("list", "--image-size", "28", "--classes", "10");
        Assert.Matches(@"(?m)^RepVGG-S1 +\d", output);
        Assert.DoesNotMatch(@"(?m)^RepVGG-A0 +\d", output);
        Assert.Matches(@"Left out, as they reduce images by more than that: .*RepVGG-A0, .*RepVGGplus-L2pse, RepOpt-VGG-B1, .*RepOpt-VGG-L2\.", output);
    }

    [Fact]
    public void Create_writes_the_training_form_that_inspect_knows()
    {
        string path = _folder.File("new.safetensors");
        Succeeds("create", "a0", path, "--classes", "7", "--seed", "3");
        string output = Succeeds("inspect", path);
        Assert.Contains("RepVGG-A0", output);
        Assert.Matches(@"Form +train\b", output);
        Assert.Matches(@"Classes +7\b", output);
        Assert.Matches(@"(?m)^stage4\.0 +1280 x 7 x 7 +2 +1 ", output);
        var figures = ModelStatistics.Of(RepVggVariants.A0, WeightsForm.Training, 7, 224, 224);
        Assert.Contains(figures.Parameters.ToString("n0", CultureInfo.InvariantCulture), output);
        Assert.Contains(figures.MultiplyAdds.ToString("n0", CultureInfo.InvariantCulture), output);

        Succeeds("create", "A0", _folder.File("again.pth"), "--classes", "7", "--seed", "3");
        Assert.Equal(WeightsFile.Read(path).State["stage2.1.rbr_dense.conv.weight"].Values, WeightsFile.Read(_folder.File("again.pth")).State["stage2.1.rbr_dense.conv.weight"].Values);
    }

    [Theory]
    [InlineData("tiny")]
    [InlineData("tiny-g4")]
    [InlineData("tiny-se")]
    [InlineData("tinyplus-pse")]
    public void Golden_networks_verify_and_convert_through_every_format(string name)
    {
        string output = Succeeds("verify", Train(name), "--image-size", "64");
        Assert.Equal(GoldenNetworks.All[name].Blocks.Count() + 1, Regex.Count(output, @"(?m)^(stage\S+|logits.*?) +\d\.\de[+-]\d\d\r?$"));

        // Training form to the deploy form, from file to file, and the original code's logits at the end.
        var input = GoldenNetworks.Input(name);
        string size = input.Shape[2].ToString(CultureInfo.InvariantCulture);
        string last = Train(name);
        foreach (string extension in new[] { "safetensors", "pth", "onnx", "safetensors", "onnx" })
        {
            string next = _folder.File($"{Path.GetFileNameWithoutExtension(last)}-.{extension}");
            string[] form = last == Train(name) ? ["--form", "deploy"] : [];
            Succeeds(["convert", last, next, "--image-size", size, "--mean", "0,0,0", "--std", "1,1,1", .. form]);
            Succeeds("verify", Train(name), "--against", next, "--image-size", size);
            last = next;
        }
        var network = OnnxReader.Read(last);
        Compare.Close(GoldenFiles.Floats($"{name}-logits-deploy.npy").Values, ReferenceNetwork.Logits(network, input.Values, input.Shape[0]), 1e-5);
    }

    [Theory]
    [InlineData("tiny-g2", "train")]
    [InlineData("tiny-se", "deploy")]
    public void Run_gives_the_original_codes_logits_of_a_NumPy_file(string name, string form)
    {
        string logits = _folder.File("logits.npy");
        Succeeds("run", GoldenFiles.PathOf($"{name}-{form}.pth"), GoldenFiles.PathOf($"{name}-input.npy"), logits, "--mean", "0,0,0", "--std", "1,1,1");
        var actual = NumpyFile.Read(logits);
        var expected = GoldenFiles.Floats($"{name}-logits-deploy.npy");
        Assert.Equal(expected.Shape, actual.Shape);
        Compare.Close(expected.Values, actual.Values, 1e-5);

        Assert.Contains("[images, channels, height, width] are needed", Fails(1, "run", GoldenFiles.PathOf($"{name}-{form}.pth"), logits, _folder.File("x.npy")));
        Assert.Contains("is not a NumPy array", Fails(1, "run", GoldenFiles.PathOf($"{name}-{form}.pth"), GoldenFiles.PathOf("manifest.json"), _folder.File("x.npy")));
        byte[] bytes = File.ReadAllBytes(logits);
        File.WriteAllBytes(logits, bytes[..^1]);
        Assert.Contains("is damaged", Fails(1, "run", GoldenFiles.PathOf($"{name}-{form}.pth"), logits, _folder.File("x.npy")));
    }

    [Fact]
    public void Verify_fails_where_the_forms_differ()
    {
        Assert.Contains("THE FORMS DIFFER", Fails(1, "verify", Train("tiny"), "--image-size", "64", "--bound", "1e-12"));

        var weights = WeightsFile.Read(GoldenFiles.PathOf("tiny-deploy.pth"));
        weights.State["stage2.1.rbr_reparam.bias"].Values[0] += 1;
        PthWriter.Write(weights.State, _folder.File("wrong.pth"));
        string output = Fails(1, "verify", Train("tiny"), "--against", _folder.File("wrong.pth"), "--image-size", "64");
        Assert.Contains("THE FORMS DIFFER", output);
        Succeeds("verify", Train("tiny"), "--against", GoldenFiles.PathOf("tiny-deploy.pth"), "--image-size", "64");
        Assert.Contains("not the deploy form of this", Fails(1, "verify", Train("tiny"), "--against", GoldenFiles.PathOf("tiny-se-deploy.pth")));
        Assert.Contains("nothing to fuse", Fails(1, "verify", GoldenFiles.PathOf("tiny-deploy.pth")));
    }

    [Fact]
    public void Verify_reads_the_deploy_form_with_the_options_that_concern_it()
    {
        string onnx = _folder.File("deploy.onnx"), deploy = GoldenFiles.PathOf("tiny-deploy.pth");
        Succeeds("convert", Train("tiny"), onnx, "--image-size", "64");
        Succeeds("verify", Train("tiny"), "--against", onnx, "--image-size", "64", "--output", "logits");
        Assert.Contains($"'{onnx}' is not an ONNX file of a RepVGG: it has no output 'other'", Fails(1, "verify", Train("tiny"), "--against", onnx, "--image-size", "64", "--output", "other"));
        Assert.Contains($"'{deploy}' has no output 'logits': only ONNX files have outputs", Fails(1, "verify", Train("tiny"), "--against", deploy, "--output", "logits"));
        Assert.Contains($"'{Train("tiny")}' has no output 'logits'", Fails(1, "verify", Train("tiny"), "--output", "logits"));
        Succeeds("verify", Checkpoint("entries.pth"), "--entry", "model_ema", "--against", FusedEntry("model_ema"), "--image-size", "32");
        Assert.Contains("THE FORMS DIFFER", Fails(1, "verify", Checkpoint("entries.pth"), "--against", FusedEntry("model_ema"), "--image-size", "32"));

        // The strides are those of the network, whose deploy form does not say them either.
        var architecture = RepVggVariants.S0 with { Name = "RepVGG", InputChannels = 3, Stages = [.. RepVggVariants.S0.Stages.Select(stage => stage with { Stride = 1 })] };
        string train = _folder.File("train.pth"), fused = _folder.File("fused.pth"), strides = string.Join(',', architecture.Stages.Select(stage => stage.Stride));
        var state = RandomStates.Training(architecture, 3);
        PthWriter.Write(state, train);
        PthWriter.Write(DeployNetwork.FromTrainingForm(architecture, state, 8, 8, Normalization.Identity(3)).ExportState(), fused);
        Succeeds("verify", train, "--against", fused, "--image-size", "8", "--strides", strides);

        string FusedEntry(string entry)
        {
            string path = _folder.File($"{entry}.pth");
            Succeeds("convert", Checkpoint("entries.pth"), path, "--form", "deploy", "--entry", entry, "--image-size", "32");
            return path;
        }
    }

    [Fact]
    public void Convert_keeps_what_the_file_says_and_renames_as_timm()
    {
        Succeeds("convert", Train("tiny"), _folder.File("a.safetensors"), "--image-size", "48", "--mean", "1,2,3", "--std", "4,5,8");
        Succeeds("convert", _folder.File("a.safetensors"), _folder.File("a.onnx"), "--precision", "half");
        var description = OnnxReader.ReadDescription(_folder.File("a.onnx"))!;
        Assert.Equal((48, 48), (description.ImageHeight, description.ImageWidth));
        Assert.Equal([1f, 2f, 3f], description.Normalization.Mean.ToArray());
        Assert.Equal([0.25f, 0.2f, 0.125f], description.Normalization.Scale.ToArray());

        Succeeds("convert", Train("tiny"), _folder.File("timm.weights"), "--format", "pth", "--names", "timm");
        Assert.True(TimmNames.AreIn(PthReader.Read(_folder.File("timm.weights"))));
        Assert.Equal(
            GoldenNetworks.TrainingState("tiny")["stage1.0.rbr_1x1.conv.weight"].Values,
            WeightsFile.Read(_folder.File("timm.weights")).State["stage1.0.rbr_1x1.conv.weight"].Values);
    }

    [Fact]
    public void Convert_renames_as_MMPretrain()
    {
        Succeeds("convert", Train("tiny-se"), _folder.File("mm.pth"), "--names", "mmpretrain");
        var written = PthReader.Read(_folder.File("mm.pth"));
        Assert.Equal(PthReader.Read(Checkpoint("mmpretrain-tiny-se-train.pth")).Names, written.Names);
        Succeeds("convert", _folder.File("mm.pth"), _folder.File("back.pth"));
        Assert.Equal(GoldenNetworks.TrainingState("tiny-se").Names, PthReader.Read(_folder.File("back.pth")).Names);
        Assert.Contains("leaves out squeeze-and-excitation", Fails(1, "convert", Train("tiny-se"), _folder.File("mm.safetensors"), "--names", "mmpretrain", "--form", "deploy", "--image-size", "64"));
        Assert.Contains("not for ONNX", Fails(2, "convert", Train("tiny"), _folder.File("mm.onnx"), "--names", "mmpretrain"));
    }

    /// <summary>The names of some forms could be renamed, but other libraries would compute another network with them.</summary>
    [Theory]
    [InlineData(TrainingForm.ReluInBranches)]
    [InlineData(TrainingForm.TrivialReparam)]
    [InlineData(TrainingForm.Dirac)]
    [InlineData(TrainingForm.MobileOne)]
    public void Convert_gives_names_of_other_libraries_to_RepVGGs_form_only(TrainingForm form)
    {
        var architecture = RandomNetworks.Architecture(3, 1, SqueezeExcitation.None, (4, 1, 2), (8, 1, 2)) with { TrainingForm = form };
        PthWriter.Write(RandomStates.Training(architecture, 3), _folder.File("a.pth"), new ModelDescription(architecture, 3, 32, 32, Normalization.Identity(3), ["a", "b", "c"]));
        foreach (string names in (string[])["timm", "mmpretrain"])
        {
            Assert.Contains($"training form {form}", Fails(2, "convert", _folder.File("a.pth"), _folder.File("b.pth"), "--names", names));
            Assert.False(File.Exists(_folder.File("b.pth")));
        }
    }

    [Fact]
    public void Inspect_lists_what_was_left_out_and_the_entries()
    {
        string output = Succeeds("inspect", GoldenFiles.CaseOf("w-ckpt-timm-args.pth.tar"), "--image-size", "32");
        Assert.Contains("Left out       argparse.Namespace (1), num_batches_tracked (16)", output);
        Assert.DoesNotContain("Entries", output);
        Assert.Contains("Entries        model_ema, model (shown here)", Succeeds("inspect", Checkpoint("entries.pth"), "--image-size", "32"));
        Assert.Contains("Entries        model_ema (shown here), model", Succeeds("inspect", Checkpoint("entries.pth"), "--image-size", "32", "--entry", "model_ema"));
        Assert.Contains("It has 'model_ema', 'model'", Fails(1, "inspect", Checkpoint("entries.pth"), "--entry", "best"));
        Assert.Contains("Left out       posix.system (1), num_batches_tracked (13)", Succeeds("inspect", Checkpoint("call-beside.pth"), "--image-size", "32"));
        Assert.Contains("Entries        state_dict.model (shown here), state_dict.ema_model", Succeeds("inspect", Checkpoint("lightning.pth"), "--image-size", "32"));
        Assert.Contains("Entries        state_dict.model, state_dict.ema_model (shown here)", Succeeds("inspect", Checkpoint("lightning.pth"), "--image-size", "32", "--entry", "ema_model"));
    }

    /// <summary>The numbers are in the unit of --std, so that they can be given again.</summary>
    [Fact]
    public void Inspect_prints_the_normalisation_as_it_is_given()
    {
        string[] given = ["--image-size", "32", "--mean", "91.5,60,30", "--std", "50,40,25"];
        const string Expected = "Normalisation  mean 91.5, 60, 30, standard deviation 50, 40, 25";
        Assert.Contains(Expected, Succeeds(["inspect", Train("tiny"), .. given]));
        Succeeds(["convert", Train("tiny"), _folder.File("a.pth"), .. given]);
        string output = Succeeds("inspect", _folder.File("a.pth"));
        Assert.Contains(Expected, output);
        Assert.Matches(@"Images +3 x 32 x 32", output);

        output = Succeeds("inspect", Train("tiny"), "--image-size", "32");
        Assert.Contains("Normalisation  mean 123.675, 116.28, 103.53, standard deviation 58.395, 57.12, 57.375", output);
        Assert.Contains("Assumed: normalisation mean 123.675", output);
        Succeeds("create", "S0", _folder.File("gray.pth"), "--channels", "1", "--classes", "3");
        PthWriter.Write(PthReader.Read(_folder.File("gray.pth")), _folder.File("gray.pth"));
        Assert.Contains("Normalisation  unknown: give --mean and --std", Succeeds("inspect", _folder.File("gray.pth")));
    }

    [Fact]
    public void Inspect_prints_names_of_a_file_without_control_characters()
    {
        const string Commands = "\u001b[2J\u001b]0;title\u0007";
        var weights = WeightsFile.Read(GoldenFiles.PathOf("tiny-deploy.pth"));
        var state = new StateDict();
        foreach (var (name, tensor) in weights.State)
            (state[$"a{Commands}.{name}"], state[$"ema_{Commands}.{name}"]) = (tensor, tensor);
        string[] labels = [Commands, .. Enumerable.Range(1, weights.Classes - 1).Select(i => $"label {i}")];
        SafetensorsWriter.Write(state, _folder.File("a.safetensors"), weights.Describe() with { ClassLabels = [.. labels] });
        string output = Succeeds("inspect", _folder.File("a.safetensors"));
        Assert.Contains(": ?[2J?]0;title?, label 1", output);
        Assert.Contains("Entries        a?[2J?]0;title? (shown here), ema_?[2J?]0;title?", output);
        Assert.DoesNotContain(output, character => char.IsControl(character) && character is not ('\r' or '\n'));
    }

    [Fact]
    public void A_backbone_has_no_logits_but_can_be_inspected_and_converted()
    {
        string backbone = GoldenFiles.CaseOf("w-no-classifier.pth"), onnx = _folder.File("features.onnx");
        Assert.Contains("Classes        none: there is no classifier", Succeeds("inspect", backbone, "--image-size", "32"));
        Assert.Contains("holds no classifier: 'linear.weight' is missing", Fails(1, "run", backbone, GoldenFiles.CaseOf("w-input.npy"), _folder.File("x.npy")));
        Assert.Contains("hold no classifier: 'linear.weight' of shape [classes, features] is missing", Fails(1, "verify", backbone, "--image-size", "32"));
        Succeeds("convert", backbone, onnx, "--image-size", "32");
        var images = NumpyFile.Read(GoldenFiles.CaseOf("w-input.npy"));
        Compare.Close(GoldenFiles.Floats("cases/w-pooled.npy").Values, ReferenceNetwork.Outputs(OnnxReader.Read(onnx), images.Values, images.Shape[0]), 1e-5);
        Succeeds("convert", backbone, _folder.File("deploy.pth"), "--form", "deploy", "--image-size", "32");
        Assert.Contains("none: there is no classifier", Succeeds("inspect", _folder.File("deploy.pth")));
    }

    private static string Checkpoint(string name) => GoldenFiles.PathOf(Path.Combine("checkpoints", name));

    [Fact]
    public void What_a_file_does_not_say_is_given_by_options()
    {
        string weights = GoldenFiles.CaseOf("w-epsilon-1e-3.pth"), images = GoldenFiles.CaseOf("w-input.npy"), logits = _folder.File("logits.npy");
        float[] expected = GoldenFiles.Floats("cases/w-epsilon-1e-3-logits.npy").Values;
        Assert.DoesNotContain("epsilon", Succeeds("run", weights, images, logits, "--epsilon", "1e-3"));
        Compare.Close(expected, NumpyFile.Read(logits).Values, 1e-5);
        Assert.Contains("Assumed: batch norm epsilon 1e-05 (PyTorch's default): the file does not say it. Give --epsilon if that is wrong.", Succeeds("run", weights, images, logits));

        // What was given is stored in every format.
        foreach (string extension in (string[])["pth", "safetensors", "onnx"])
        {
            string output = _folder.File($"out.{extension}");
            Assert.DoesNotContain("epsilon", Succeeds("convert", weights, output, "--epsilon", "1e-3", "--strides", "2,2,2,2,2", "--image-size", "32"));
            Assert.DoesNotContain("Assumed", Succeeds("run", output, images, logits));
            Compare.Close(expected, NumpyFile.Read(logits).Values, 1e-5);
            Assert.DoesNotContain("Assumed", Succeeds("inspect", output));
        }
        Assert.Contains("--epsilon is 0.01, but", Fails(2, "inspect", _folder.File("out.pth"), "--epsilon", "0.01"));

        string output32 = Succeeds("verify", weights, "--epsilon", "1e-3", "--image-size", "32");
        Assert.DoesNotContain("epsilon", output32);
        Assert.Contains("Assumed: strides 2, 2, 2, 2, 2", output32);
        Assert.Contains("this check cannot show whether they are those of the training", output32);
        Assert.DoesNotContain("Assumed", Succeeds("verify", weights, "--epsilon", "1e-3", "--image-size", "32", "--strides", "2,2,2,2,2"));
        Succeeds("verify", _folder.File("out.pth"), "--against", _folder.File("out.onnx"));

        Assert.Contains("--image-size", Fails(1, "inspect", GoldenFiles.CaseOf("o-dynamic-size.onnx")));
        Assert.Matches(@"Images +3 x 32 x 32", Succeeds("inspect", GoldenFiles.CaseOf("o-dynamic-size.onnx"), "--image-size", "32"));
        Succeeds("run", GoldenFiles.CaseOf("o-dynamic-size.onnx"), images, logits);
        Compare.Close(GoldenFiles.Floats("cases/w-logits.npy").Values, NumpyFile.Read(logits).Values, 1e-5);
        Assert.Contains("it must be one stride per stage", Fails(2, "inspect", weights, "--strides", "1,3"));
        Assert.Contains("it has no output 'other'", Fails(1, "inspect", GoldenFiles.CaseOf("o-plain.onnx"), "--output", "other"));
    }

    [Fact]
    public void Gray_weights_without_a_description_need_a_normalisation_only_in_onnx()
    {
        Succeeds("create", "S0", _folder.File("gray.pth"), "--classes", "3");
        Succeeds("convert", _folder.File("gray.pth"), _folder.File("deploy.pth"), "--form", "deploy");
        Assert.Contains("normalisation", Fails(1, "convert", _folder.File("gray.pth"), _folder.File("gray.onnx")));
        Assert.Contains("give --mean and --std", Fails(2, "convert", _folder.File("gray.pth"), _folder.File("x.pth"), "--epsilon", "1e-3"));
        Succeeds("convert", _folder.File("gray.pth"), _folder.File("gray.onnx"), "--mean", "127", "--std", "60");
        Succeeds("verify", _folder.File("gray.pth"), "--against", _folder.File("gray.onnx"));
    }

    [Fact]
    public void What_cannot_be_is_one_line_and_an_exit_code()
    {
        string deploy = GoldenFiles.PathOf("tiny-deploy.pth");
        Assert.Contains("cannot be converted to the training form", Fails(1, "convert", deploy, _folder.File("x.pth"), "--form", "train"));
        Assert.Contains("deploy form only", Fails(2, "convert", Train("tiny"), _folder.File("x.onnx"), "--form", "train"));
        Assert.Contains("no known extension", Fails(2, "convert", deploy, _folder.File("x.txt")));
        Assert.Contains("must be one of: pth, safetensors, onnx", Fails(2, "convert", deploy, _folder.File("x"), "--format", "h5"));
        Assert.Contains("for ONNX only", Fails(2, "convert", deploy, _folder.File("x.pth"), "--precision", "half"));
        Assert.Contains("must both be given", Fails(2, "convert", deploy, _folder.File("x.onnx"), "--mean", "1,2,3"));
        Assert.Contains("numbers that are separated by commas", Fails(2, "convert", deploy, _folder.File("x.onnx"), "--mean", "1,b,3"));
        Assert.Contains("Required argument 'OUT' missing", Fails(2, "convert", deploy));
        Assert.Contains("Unrecognized command or argument 'three'", Fails(2, "convert", "one", "two", "three"));
        Assert.Contains("There is no RepVGG variant", Fails(2, "create", "Z9", _folder.File("x.pth")));
        Assert.Contains("missing.pth", Fails(1, "inspect", _folder.File("missing.pth")));
        Assert.Empty(Directory.GetFileSystemEntries(_folder.Path));
    }
}
