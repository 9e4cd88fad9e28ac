using Microsoft.ML.Data;
using Microsoft.ML.Runtime;

namespace Microsoft.ML.Trainers;

/// <summary>The common part of trainers that minimise a regularised loss with L-BFGS.</summary>
public abstract class LbfgsTrainerBase<TOptions, TTransformer, TModel> : TrainerEstimatorBase<TTransformer, TModel>
    where TTransformer : ISingleFeaturePredictionTransformer<TModel>
    where TModel : class
    where TOptions : LbfgsTrainerBase<TOptions, TTransformer, TModel>.OptionsBase, new()
{
    private protected readonly TOptions TrainerOptions;

    private protected LbfgsTrainerBase(IHost host, TOptions options, SchemaShape.Column label)
        : base(
            host,
            new SchemaShape.Column(
                options.FeatureColumnName, SchemaShape.Column.VectorKind.Vector, NumberDataViewType.Single, isKey: false),
            label,
            options.ExampleWeightColumnName is null
                ? default
                : new SchemaShape.Column(
                    options.ExampleWeightColumnName,
                    SchemaShape.Column.VectorKind.Scalar,
                    NumberDataViewType.Single,
                    isKey: false))
    {
        TrainerOptions = options;
        CheckOption(options.NumberOfThreads is null or > 0, nameof(options.NumberOfThreads), "Must be positive (or empty for default)");
        CheckOption(options.L2Regularization >= 0, nameof(options.L2Regularization), "Must be non-negative");
        CheckOption(options.L1Regularization >= 0, nameof(options.L1Regularization), "Must be non-negative");
        CheckOption(options.OptimizationTolerance > 0, nameof(options.OptimizationTolerance), "Must be positive");
        CheckOption(options.HistorySize > 0, nameof(options.HistorySize), "Must be positive");
        CheckOption(options.MaximumNumberOfIterations > 0, nameof(options.MaximumNumberOfIterations), "Must be positive");
        CheckOption(
            options.StochasticGradientDescentInitilaizationTolerance >= 0,
            nameof(options.StochasticGradientDescentInitilaizationTolerance),
            "Must be non-negative");
        CheckSupported(!options.EnforceNonNegativity, nameof(options.EnforceNonNegativity));
        CheckSupported(
            options.StochasticGradientDescentInitilaizationTolerance == 0,
            nameof(options.StochasticGradientDescentInitilaizationTolerance));
    }

    public override TrainerInfo Info { get; } = new(normalization: true, caching: true);

    private protected static void CheckSupported(bool condition, string option)
    {
        if (!condition)
        {
            throw new NotSupportedException($"The ML.NET stand-in does not support {nameof(OptionsBase)}.{option}.");
        }
    }

    private static void CheckOption(bool condition, string option, string message)
    {
        if (!condition)
        {
            throw new InvalidOperationException($"Invalid argument '{option}': {message}");
        }
    }

    /// <summary>Options of trainers that use L-BFGS.</summary>
    public abstract class OptionsBase : TrainerInputBaseWithWeight
    {
        public float L2Regularization = 1;
        public float L1Regularization = 1;
        public float OptimizationTolerance = 1e-7f;
        public int HistorySize = 20;
        public int MaximumNumberOfIterations = int.MaxValue;
        public float StochasticGradientDescentInitilaizationTolerance;
        public bool Quiet;
        public float InitialWeightsDiameter;
        public int? NumberOfThreads;

        /// <summary>Has no effect here: vectors are always dense.</summary>
        public bool DenseOptimizer;
        public bool EnforceNonNegativity;

        protected OptionsBase()
        {
        }
    }
}
