using Microsoft.ML.Data;
using Microsoft.ML.Runtime;
using Microsoft.ML.Standin;

namespace Microsoft.ML.Trainers;

/// <summary>Trains multinomial logistic regression ("maximum entropy") with L-BFGS.</summary>
public sealed class LbfgsMaximumEntropyMulticlassTrainer :
    LbfgsTrainerBase<
        LbfgsMaximumEntropyMulticlassTrainer.Options,
        MulticlassPredictionTransformer<MaximumEntropyModelParameters>,
        MaximumEntropyModelParameters>
{
    internal LbfgsMaximumEntropyMulticlassTrainer(IHostEnvironment environment, Options options)
        : base(
            environment.Register(nameof(LbfgsMaximumEntropyMulticlassTrainer)),
            options,
            new SchemaShape.Column(
                options.LabelColumnName, SchemaShape.Column.VectorKind.Scalar, NumberDataViewType.UInt32, isKey: true))
    {
        CheckSupported(!options.ShowTrainingStatistics, nameof(options.ShowTrainingStatistics));
    }

    /// <summary>Goes on training from the parameters of an earlier model.</summary>
    public MulticlassPredictionTransformer<MaximumEntropyModelParameters> Fit(
        IDataView trainData, MaximumEntropyModelParameters modelParameters) => Train(trainData, modelParameters);

    private protected override IEnumerable<SchemaShape.Column> GetOutputColumns(SchemaShape inputSchema) =>
        MulticlassScoreColumns.Shape(inputSchema.First(column => column.Name == LabelColumn.Name));

    private protected override MulticlassPredictionTransformer<MaximumEntropyModelParameters> MakeTransformer(
        MaximumEntropyModelParameters model, DataViewSchema trainSchema) =>
        new(Host, model, trainSchema, FeatureColumn.Name, LabelColumn.Name);

    private protected override MaximumEntropyModelParameters TrainModel(
        IDataView data, MaximumEntropyModelParameters initialModel)
    {
        SparseRows rows = ReadRows(data);
        int classes = checked((int)((KeyDataViewType)data.Schema[LabelColumn.Name].Type).Count);
        MaximumEntropyObjective objective = new(
            rows, classes, TrainerOptions.L2Regularization, TrainerOptions.NumberOfThreads ?? Environment.ProcessorCount);
        double[] parameters = new double[objective.ParameterCount];
        if (initialModel is not null)
        {
            initialModel.CopyTo(parameters, rows.FeatureCount, classes);
        }
        else if (TrainerOptions.InitialWeightsDiameter > 0)
        {
            for (int i = 0; i < parameters.Length; i++)
            {
                parameters[i] = TrainerOptions.InitialWeightsDiameter * (Host.Rand.NextDouble() - 0.5);
            }
        }

        LbfgsMinimizer minimizer = new(
            TrainerOptions.HistorySize,
            TrainerOptions.MaximumNumberOfIterations,
            TrainerOptions.OptimizationTolerance,
            TrainerOptions.L1Regularization / (double)rows.Count,
            objective.WeightCount);
        double value = minimizer.Minimize(objective.Evaluate, parameters);
        if (!double.IsFinite(value))
        {
            throw new InvalidOperationException("Data contain bad values.");
        }

        return new MaximumEntropyModelParameters(parameters, rows.FeatureCount, classes);
    }

    private SparseRows ReadRows(IDataView data)
    {
        DataViewSchema.Column label = data.Schema[LabelColumn.Name];
        DataViewSchema.Column feature = data.Schema[FeatureColumn.Name];
        DataViewSchema.Column? weight = WeightColumn.IsValid ? data.Schema[WeightColumn.Name] : null;
        List<DataViewSchema.Column> needed = [label, feature];
        if (weight is DataViewSchema.Column given)
        {
            needed.Add(given);
        }

        SparseRows rows = new(((VectorDataViewType)feature.Type).Size);
        long skipped = 0;
        using DataViewRowCursor cursor = data.GetRowCursor(needed);
        ValueGetter<uint> getLabel = cursor.GetGetter<uint>(label);
        ValueGetter<VBuffer<float>> getFeatures = cursor.GetGetter<VBuffer<float>>(feature);
        ValueGetter<float> getWeight = weight is null ? (ref float value) => value = 1 : cursor.GetGetter<float>(weight.Value);
        uint key = 0;
        VBuffer<float> features = default;
        float rowWeight = 1;
        while (cursor.MoveNext())
        {
            getLabel(ref key);
            getFeatures(ref features);
            getWeight(ref rowWeight);
            if (key == 0 || !(rowWeight > 0 && float.IsFinite(rowWeight)) || !AllFinite(features.GetValues()))
            {
                skipped++;
                continue;
            }

            rows.Add(in features, (int)key - 1, rowWeight);
        }

        if (rows.Count == 0)
        {
            throw new InvalidOperationException("No valid training instances found, all instances have missing features.");
        }

        if (skipped > 0)
        {
            using IChannel channel = Host.Start("Training");
            channel.Warning(
                MessageSensitivity.None, "Skipped {0} instances with missing features/label/weight during training", skipped);
        }

        return rows;
    }

    private static bool AllFinite(ReadOnlySpan<float> values)
    {
        foreach (float value in values)
        {
            if (!float.IsFinite(value))
            {
                return false;
            }
        }

        return true;
    }

    /// <summary>Options of <see cref="LbfgsMaximumEntropyMulticlassTrainer"/>.</summary>
    public sealed class Options : OptionsBase
    {
        public bool ShowTrainingStatistics;
    }
}
