using System.IO.Compression;
using System.Runtime.InteropServices;
using RepVgg.Architectures;
using RepVgg.Inference;
using RepVgg.Networks;
using RepVgg.Testing;
using RepVgg.Weights;
using RepVgg.Weights.Files;
using RepVgg.Weights.Naming;
using RepVgg.Weights.PyTorch;
using RepVgg.Weights.Safetensors;
using Xunit;

namespace RepVgg.Tests.Weights.Files;

/// <summary>
/// Checkpoints as training programs write them, with PyTorch's logits. Files named w-* are from users' reports; Golden/checkpoints/make.py
/// makes the others.
/// </summary>
public sealed class CheckpointCasesTests : IDisposable
{
    private static readonly string[] _prefixes =
    [
        "module.", "model.", "backbone.", "_orig_mod.", "net.", "encoder.", "state_dict.", "module._orig_mod.backbone.", "model.module.", "my_repvgg.", "a.b.c.d.",
    ];

    private readonly TemporaryFolder _folder = new();

    public static TheoryData<string> Prefixes => [.. _prefixes];

    public void Dispose() => _folder.Dispose();

    [Theory]
    [InlineData("w-plain.pth")]
    [InlineData("w-ckpt-accuracy-tensor.pth.tar", "tensor best_acc1")]
    [InlineData("w-ckpt-config-object.pth", "yacs.config.CfgNode (2)")]
    [InlineData("w-ckpt-timm-args.pth.tar", "argparse.Namespace (1)")]
    [InlineData("w-prefix-module.safetensors", "num_batches_tracked (16)")]
    [InlineData("w-prefix-compiled.pth")]
    [InlineData("w-counters.pth", "num_batches_tracked (16)", "total_ops (31)", "total_params (31)")]
    public void Reported_files_give_PyTorchs_logits(string name, params string[] leftOut)
    {
        var weights = WeightsFile.Read(PathOf(name));
        Assert.Equal(4, weights.Classes);
        Assert.Equal(WeightsForm.Training, weights.Form);
        Assert.All(leftOut, text => Assert.Contains(text, weights.LeftOut));
        CheckLogits(PathOf(name), "w-");
    }

    [Theory]
    [InlineData("beside-protocol1-legacy")]
    [InlineData("beside-protocol2-legacy")]
    [InlineData("beside-protocol2-zip")]
    [InlineData("beside-protocol3-legacy")]
    [InlineData("beside-protocol4-legacy")]
    [InlineData("beside-protocol4-zip")]
    [InlineData("beside-protocol5-legacy")]
    [InlineData("beside-protocol5-zip")]
    public void Objects_beside_the_weights_are_listed_and_not_built(string name)
    {
        var weights = WeightsFile.Read(PathOf(name + ".pth"));
        Assert.Equal("state_dict", weights.Entry);
        string[] expected =
        [
            "argparse.Namespace (1)", "__main__.Config (2)", "__main__.Settings (1)", "__main__.History (1)", "numpy.dtype (4)",
            "datetime.datetime (1)", "pathlib.PurePosixPath (1)", "__main__.Color (1)", "torch.device (1)", "collections.deque (1)", "decimal.Decimal (1)",
            "torch.nn.modules.linear.Linear (1)", "torch._utils._rebuild_sparse_tensor (1)", "num_batches_tracked (13)", "tensors torch_rng, parameter, acc1",
        ];
        Assert.All(expected, text => Assert.Contains(text, weights.LeftOut));
        CheckLogits(PathOf(name + ".pth"));
    }

    [Fact]
    public void A_call_beside_the_weights_is_listed_as_an_object()
    {
        Assert.Equal(["posix.system (1)", "num_batches_tracked (13)"], WeightsFile.Read(PathOf("call-beside.pth")).LeftOut);
        CheckLogits(PathOf("call-beside.pth"));
    }

    [Fact]
    public void Tensors_beside_nested_weights_are_listed_with_their_path()
    {
        var weights = WeightsFile.Read(PathOf("tensors-beside-nested.pth"));
        Assert.Equal("checkpoint.model.state_dict", weights.Entry);
        Assert.Equal(["num_batches_tracked (13)", "tensors checkpoint.best, checkpoint.model.loss"], weights.LeftOut);
        CheckLogits(PathOf("tensors-beside-nested.pth"));
        Assert.Contains("tensor checkpoint.ema.decay", WeightsFile.Read(PathOf("entries-nested.pth"), new WeightsFileOptions { Entry = "checkpoint.ema" }).LeftOut);
    }

    /// <summary>PyTorch writes sizes as 32-bit integers; other programs write them as arbitrary-precision integers.</summary>
    [Fact]
    public void Sizes_as_long_integers_are_read()
    {
        var weights = WeightsFile.Read(GoldenFiles.CaseOf("sizes-as-long-integers.pth"));
        Assert.Equal((WeightsForm.Deploy, 2), (weights.Form, weights.Classes));
        using var zip = ZipFile.OpenRead(GoldenFiles.CaseOf("sizes-as-long-integers.pth"));
        foreach (var (i, (_, tensor)) in weights.State.Index())
        {
            using var content = new MemoryStream();
            using (var entry = zip.GetEntry($"archive/data/{i}")!.Open())
                entry.CopyTo(content);
            Assert.Equal(MemoryMarshal.Cast<byte, float>(content.ToArray()).ToArray(), tensor.Values);
        }
    }

    [Theory]
    [InlineData("entries", null, "model", 0)]
    [InlineData("entries", "model", "model", 0)]
    [InlineData("entries", "model_ema", "model_ema", 1)]
    [InlineData("entries-nested", null, "checkpoint.net.state_dict", 0)]
    [InlineData("entries-nested", "checkpoint.net", "checkpoint.net.state_dict", 0)]
    [InlineData("entries-nested", "checkpoint.ema", "checkpoint.ema.module", 1)]
    [InlineData("entries-nested", "checkpoint.ema.module", "checkpoint.ema.module", 1)]
    [InlineData("lightning", null, "state_dict.model", 0)]
    [InlineData("lightning", "ema_model", "state_dict.ema_model", 1)]
    [InlineData("lightning", "state_dict.ema_model", "state_dict.ema_model", 1)]
    [InlineData("lightning", "state_dict", "state_dict.model", 0)]
    [InlineData("swa", null, "", 0)]
    [InlineData("swa", "module", "module", 0)]
    public void The_plain_weights_are_read_unless_an_entry_is_given(string name, string? entry, string expected, float shift)
    {
        var options = new WeightsFileOptions { Entry = entry };
        var weights = WeightsFile.Read(PathOf(name + ".pth"), options);
        Assert.Equal(expected, weights.Entry);
        CheckLogits(PathOf(name + ".pth"), options: options, shift: shift);
    }

    [Theory]
    [InlineData("entries", "ema", "'model_ema', 'model'")]
    [InlineData("entries", "model.x", "'model_ema', 'model'")]
    [InlineData("entries-nested", "net", "'checkpoint.net.state_dict', 'checkpoint.ema.module'")]
    [InlineData("lightning", "ema", "'state_dict', 'state_dict.model', 'state_dict.ema_model'")]
    [InlineData("w-plain", "ema", "Its weights are not in entries")]
    public void An_unknown_entry_is_refused_with_the_entries_that_there_are(string name, string entry, string expected)
    {
        string message = Assert.Throws<InvalidDataException>(() => WeightsFile.Read(PathOf(name + ".pth"), new WeightsFileOptions { Entry = entry })).Message;
        Assert.Contains($"has no entry '{entry}' of weights", message);
        Assert.Contains(expected, message);
    }

    /// <summary>The state of an optimizer, or the metrics beside the weights, can have any number of dictionaries of tensors.</summary>
    [Theory]
    [InlineData("optimizer-by-name", "model")]
    [InlineData("slots-by-name", "my_weights")]
    [InlineData("unusual-key", "student")]
    public void The_only_network_among_other_dictionaries_of_tensors_is_read(string name, string expected)
    {
        var weights = WeightsFile.Read(PathOf(name + ".pth"));
        Assert.Equal(expected, weights.Entry);
        Assert.Equal([expected], weights.Entries);
        CheckLogits(PathOf(name + ".pth"));
    }

    [Fact]
    public void Several_networks_under_unusual_keys_are_refused_with_the_option_that_chooses_one()
    {
        string message = Assert.Throws<InvalidDataException>(() => WeightsFile.Read(PathOf("unusual-keys.pth"))).Message;
        Assert.Contains("holds several dictionaries of tensors, 'student', 'other': give the one that is to be read as the option Entry", message);
        CheckLogits(PathOf("unusual-keys.pth"), options: new WeightsFileOptions { Entry = "other" }, shift: 1);
    }

    [Theory]
    [InlineData("entries", "weights of the entry 'model': the file also has the entry 'model_ema'")]
    [InlineData("lightning", "weights of the entry 'state_dict.model': the file also has the entry 'state_dict.ema_model'")]
    [InlineData("mmpretrain-student-teacher", "weights of the entry 'state_dict.student.backbone': the file also has the entry 'state_dict.teacher.backbone'")]
    public void The_choice_among_several_networks_is_an_assumption(string name, string expected)
    {
        var weights = WeightsFile.Read(PathOf(name + ".pth"));
        Assert.Equal(expected, Assert.Single(weights.Assumptions, assumption => assumption.Kind == WeightsAssumptionKind.Entry).Text);
        var given = WeightsFile.Read(PathOf(name + ".pth"), new WeightsFileOptions { Entry = weights.Entry });
        Assert.Equal(weights.Entry, given.Entry);
        Assert.DoesNotContain(given.Assumptions, assumption => assumption.Kind == WeightsAssumptionKind.Entry);
        Assert.DoesNotContain(WeightsFile.Read(PathOf("unusual-key.pth")).Assumptions, assumption => assumption.Kind == WeightsAssumptionKind.Entry);
    }

    [Theory]
    [InlineData(null, 0)]
    [InlineData("student", 0)]
    [InlineData("teacher", 1)]
    [InlineData("teacher.backbone", 1)]
    [InlineData("state_dict.teacher.backbone", 1)]
    public void The_classifier_of_another_network_is_left_out(string? entry, float shift) =>
        CheckLogits(PathOf("mmpretrain-student-teacher.pth"), options: new WeightsFileOptions { Entry = entry }, shift: shift);

    [Fact]
    public void Complex_and_quantized_tensors_beside_the_weights_of_a_legacy_file_are_skipped()
    {
        Assert.Contains("torch.ComplexFloatStorage (1)", WeightsFile.Read(PathOf("strange-tensors-legacy.pth")).LeftOut);
        CheckLogits(PathOf("strange-tensors-legacy.pth"));
    }

    [Fact]
    public void Expanded_tensors_are_read()
    {
        var state = WeightsFile.Read(PathOf("expanded.pth")).State;
        Assert.Equal([1f, 1], state["stage0.rbr_dense.bn.weight"].Values);
        Assert.Equal([0f, 0, 0], state["linear.bias"].Values);
    }

    [Theory]
    [InlineData("int8")]
    [InlineData("uint8")]
    [InlineData("bool")]
    public void Weights_that_are_not_floating_point_numbers_are_refused(string type)
    {
        const string Expected = "'stage1.0.rbr_dense.conv.weight' is of type ";
        string path = PathOf($"weight-is-{type}.pth");
        Assert.Contains($"{Expected}{type}; weights must be floating-point numbers", Assert.Throws<InvalidDataException>(() => WeightsFile.Read(path)).Message);
        Assert.Contains($"{Expected}{type}; weights must be floating-point numbers", Assert.Throws<InvalidDataException>(() => InferenceEngine.Open(path)).Message);
    }

    [Fact]
    public void All_entries_with_weights_are_listed()
    {
        Assert.Equal(["model_ema", "model"], WeightsFile.Read(PathOf("entries.pth")).Entries);
        Assert.Equal(["checkpoint.net.state_dict", "checkpoint.ema.module"], WeightsFile.Read(PathOf("entries-nested.pth")).Entries);
        Assert.Equal(["state_dict.model", "state_dict.ema_model"], WeightsFile.Read(PathOf("lightning.pth")).Entries);
    }

    /// <summary>What is listed as an entry can be given as one.</summary>
    [Theory]
    [InlineData("entries.pth")]
    [InlineData("entries-nested.pth")]
    [InlineData("lightning.pth")]
    [InlineData("two.safetensors")]
    public void Every_listed_entry_can_be_read(string name)
    {
        string path = PathOf(name);
        if (name == "two.safetensors")
        {
            var two = new StateDict();
            foreach (var (tensor, values) in WeightsFile.Read(PathOf("w-plain.pth")).State)
                (two["a.b." + tensor], two["a.ema." + tensor]) = (values, values);
            SafetensorsWriter.Write(two, path = _folder.File(name));
            Assert.Equal(["a.b", "a.ema"], WeightsFile.Read(path).Entries);
        }
        var entries = WeightsFile.Read(path).Entries;
        Assert.Equal(2, entries.Count);
        foreach (string entry in entries)
        {
            var weights = WeightsFile.Read(path, new WeightsFileOptions { Entry = entry });
            Assert.Equal(entry, weights.Entry);
            Assert.Equal(entries, weights.Entries);
        }
    }

    [Theory]
    [InlineData("weight-is-sparse", "'linear.weight' as an object of torch._utils._rebuild_sparse_tensor")]
    [InlineData("model-is-object", "torch.nn.modules.linear.Linear (1)")]
    public void An_object_in_place_of_weights_is_refused_by_name(string name, string expected)
    {
        Assert.Contains(expected, Assert.Throws<InvalidDataException>(() => WeightsFile.Read(PathOf(name + ".pth"))).Message);
    }

    [Theory]
    [MemberData(nameof(Prefixes))]
    public void Prefixes_of_names_are_removed_in_every_format_and_style(string prefix)
    {
        var authors = WeightsFile.Read(PathOf("w-plain.pth")).State;
        foreach (var state in (StateDict[])[authors, TimmNames.FromAuthors(authors), MmPretrainNames.FromAuthors(authors)])
        {
            var renamed = new StateDict();
            foreach (var (name, tensor) in state)
                renamed[prefix + name] = tensor;
            renamed["total_ops"] = TensorData.Zeros(1);
            PthWriter.Write(renamed, _folder.File("a.pth"));
            SafetensorsWriter.Write(renamed, _folder.File("a.safetensors"));
            foreach (string file in (string[])["a.pth", "a.safetensors"])
            {
                Assert.Contains("total_ops (1)", WeightsFile.Read(_folder.File(file)).LeftOut);
                CheckLogits(_folder.File(file), "w-");
            }
        }
    }

    [Theory]
    [InlineData("module.backbone.", "module.")]
    [InlineData("backbone.", "")]
    [InlineData("_orig_mod.module.encoder.", "_orig_mod.")]
    public void The_classifier_may_have_a_part_of_the_prefix(string blocks, string classifier)
    {
        var renamed = new StateDict();
        foreach (var (name, tensor) in WeightsFile.Read(PathOf("w-plain.pth")).State)
            renamed[(name.StartsWith("linear.", StringComparison.Ordinal) ? classifier : blocks) + name] = tensor;
        SafetensorsWriter.Write(renamed, _folder.File("a"));
        CheckLogits(_folder.File("a"), "w-");
    }

    [Fact]
    public void Names_that_cannot_be_told_apart_are_refused()
    {
        var plain = WeightsFile.Read(PathOf("w-plain.pth")).State;
        var twice = new StateDict();
        foreach (var (name, tensor) in plain)
            (twice["student." + name], twice["other." + name]) = (tensor, tensor);
        Assert.Contains("under the prefixes 'student.', 'other.'", Refusal(twice));
        SafetensorsWriter.Write(twice, _folder.File("a"));
        CheckLogits(_folder.File("a"), "w-", new WeightsFileOptions { Entry = "other" });

        var classifiers = new StateDict();
        foreach (var (name, tensor) in plain)
            classifiers["model." + name] = tensor;
        classifiers["linear.weight"] = plain["linear.weight"];
        Assert.Contains("Two tensors have the name 'linear.weight'", Refusal(classifiers));

        var neck = new StateDict();
        foreach (var (name, tensor) in plain)
            neck["backbone." + name] = tensor;
        neck["neck.linear.weight"] = plain["linear.weight"];
        Assert.Contains("Surplus (1): neck.linear.weight", Refusal(neck));

        string Refusal(StateDict state)
        {
            SafetensorsWriter.Write(state, _folder.File("a"));
            string message = Assert.Throws<InvalidDataException>(() => WeightsFile.Read(_folder.File("a"))).Message;
            Assert.DoesNotContain("(Parameter", message);
            Assert.EndsWith(".", message);
            return message;
        }
    }

    [Fact]
    public void A_backbone_without_a_classifier_gives_PyTorchs_features()
    {
        var weights = WeightsFile.Read(PathOf("w-no-classifier.pth"));
        Assert.Equal(0, weights.Classes);
        CheckFeatures(PathOf("w-no-classifier.pth"));
        var network = WeightsFile.ReadDeployNetwork(PathOf("w-no-classifier.pth"), new WeightsFileOptions { ImageHeight = 32 });
        Assert.Equal((NetworkOutput.PooledFeatures, 0, 32), (network.Output, network.Classes, network.OutputLength));

        PthWriter.Write(network.ExportState(), _folder.File("deploy"));
        CheckFeatures(_folder.File("deploy"));
        SafetensorsWriter.Write(network.ExportState(), _folder.File("described"), network.Describe());
        CheckFeatures(_folder.File("described"));
        PthWriter.Write(TimmNames.FromAuthors(weights.State), _folder.File("timm"));
        CheckFeatures(_folder.File("timm"));
        PthWriter.Write(MmPretrainNames.FromAuthors(weights.State), _folder.File("mmpretrain"));
        CheckFeatures(_folder.File("mmpretrain"));
        RepVgg.Weights.Onnx.OnnxWriter.Write(network, _folder.File("onnx"));
        CheckFeatures(_folder.File("onnx"));
        Assert.Equal(0, WeightsFile.Read(_folder.File("onnx")).Classes);
    }

    /// <summary>The suggested entry reads the network.</summary>
    [Theory]
    [InlineData("backbone.", "fc.weight", "backbone", "Surplus (1): fc.weight")]
    [InlineData("stage1.model.", null, "stage1.model", "'stage1.model.stage0.rbr_dense.conv.weight'")]
    public void An_entry_is_suggested_where_the_whole_file_is_no_network(string prefix, string? other, string suggested, string reason)
    {
        var state = new StateDict();
        foreach (var (name, tensor) in WeightsFile.Read(PathOf("w-no-classifier.pth")).State)
            state[prefix + name] = tensor;
        if (other is not null)
            state[other] = TensorData.Zeros(4, 32);
        SafetensorsWriter.Write(state, _folder.File("a"));
        string message = Assert.Throws<InvalidDataException>(() => WeightsFile.Read(_folder.File("a"))).Message;
        Assert.Contains(reason, message);
        Assert.EndsWith($"With the option Entry, a part of the file is read alone: '{suggested}'.", message);
        var options = new WeightsFileOptions { Entry = suggested };
        Assert.Equal(0, WeightsFile.Read(_folder.File("a"), options).Classes);
    }

    [Fact]
    public void A_part_of_a_classifier_is_refused()
    {
        var state = WeightsFile.Read(PathOf("w-no-classifier.pth")).State;
        state["linear.bias"] = TensorData.Zeros(4);
        PthWriter.Write(state, _folder.File("a"));
        Assert.Contains("'linear.bias' without 'linear.weight'", Assert.Throws<InvalidDataException>(() => WeightsFile.Read(_folder.File("a"))).Message);
    }

    [Theory]
    [InlineData("tiny-train")]
    [InlineData("tiny-se-train")]
    [InlineData("tiny-deploy")]
    public void MMPretrains_checkpoints_give_the_golden_logits(string name)
    {
        string path = PathOf($"mmpretrain-{name}.pth"), golden = name[..name.LastIndexOf('-')];
        CheckGolden(null);
        if (name == "tiny-deploy")
            CheckGolden("ema_state_dict");

        void CheckGolden(string? entry)
        {
            var input = GoldenNetworks.Input(golden);
            var options = new WeightsFileOptions { ImageHeight = input.Shape[2], ImageWidth = input.Shape[3], Normalization = Normalization.Identity(3), Entry = entry };
            using var engine = InferenceEngine.Open(path, options);
            float[] expected = GoldenFiles.Floats($"{golden}-logits-deploy.npy").Values, actual = new float[expected.Length];
            engine.Run(input.Values, input.Shape[0], actual);
            Compare.Close(expected, actual, 1e-5);
        }
    }

    private static string PathOf(string name) =>
        name.StartsWith("w-", StringComparison.Ordinal) ? GoldenFiles.CaseOf(name) : GoldenFiles.PathOf(Path.Combine("checkpoints", name));

    private static string FolderOf(string reference) => reference.Length > 0 ? $"cases/{reference}" : "checkpoints/";

    private static void CheckLogits(string path, string reference = "", WeightsFileOptions? options = null, float shift = 0)
    {
        float[] expected = [.. GoldenFiles.Floats(FolderOf(reference) + "logits.npy").Values.Select(value => value + shift)];
        Check(path, reference, options, NetworkOutput.Logits, expected);
    }

    private static void CheckFeatures(string path) => Check(path, "w-", null, NetworkOutput.PooledFeatures, GoldenFiles.Floats("cases/w-pooled.npy").Values);

    private static void Check(string path, string reference, WeightsFileOptions? options, NetworkOutput output, float[] expected)
    {
        var images = GoldenFiles.Floats(FolderOf(reference) + "input.npy");
        using var engine = InferenceEngine.Open(path, (options ?? new WeightsFileOptions()) with { ImageHeight = 32, ImageWidth = 32, Warn = _ => { } });
        Assert.Equal(output, engine.Output);
        float[] actual = new float[expected.Length];
        engine.Run(images.Values, images.Shape[0], actual);
        Compare.Close(expected, actual, 1e-5);
    }
}
